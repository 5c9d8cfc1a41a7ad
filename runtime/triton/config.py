"""``config.pbtxt`` as Triton's protobuf message, so that no field, type or enumeration can be misspelt.

The inputs and outputs of a model in Triton's terms have the batch apart; other axes are sizes or -1.
"""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import InputError, MissingBackendError, first_line
from ..spec import DTYPES, Axis, TensorSpec
from .options import RepositoryOptions

TYPES = {dtype: f"TYPE_{dtype.upper().replace('FLOAT', 'FP')}" for dtype in DTYPES}


@dataclass(frozen=True)
class Tensor:
    """An input or output: ``dims`` without the batch; ``scalar`` if there is no other axis.

    Triton has no tensor without dims: a scalar is [1] for clients and reshaped to [] for the model.
    """

    name: str
    type: str
    dims: tuple[int, ...]
    scalar: bool = False

    @classmethod
    def of(cls, spec: TensorSpec, *, batched: bool) -> "Tensor":
        """The tensor of a spec."""
        axes = spec.axes[1:] if batched else spec.axes
        dims = tuple(-1 if axis.dynamic else axis.opt for axis in axes)
        return cls(spec.name, TYPES[spec.dtype], dims or (1,), not dims)


@dataclass(frozen=True)
class ModelTensors:
    """Inputs and outputs. ``batch`` is the range of the axis along which requests are grouped, None if they are not grouped."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch: Axis | None
    note: str = ""

    @property
    def max_batch(self) -> int:
        """Triton's ``max_batch_size``: 0 if requests are not grouped."""
        return self.batch.max if self.batch is not None else 0

    @classmethod
    def of(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], symbol: str) -> "ModelTensors":
        """The tensors of a graph whose rows, along the axes named ``symbol``, are independent."""
        batch, why = find_batch(inputs, outputs, symbol)
        batched = batch is not None
        return cls(
            tuple(Tensor.of(spec, batched=batched) for spec in inputs),
            tuple(Tensor.of(spec, batched=batched) for spec in outputs),
            batch,
            why and f"requests are not grouped: {why}",
        )

    def capped(self, most: int | None) -> "ModelTensors":
        """With batches of at most ``most`` rows. Raise InputError outside the model's range, or if requests are not grouped."""
        if most is None:
            return self
        if self.batch is None:
            raise InputError(f"--max-batch {most} is set and {self.note}", "leave it out, or give --batch-axis")
        if not self.batch.min <= most <= self.batch.max:
            raise InputError(
                f"--max-batch {most} is not in {self.batch.min}..{self.batch.max}, what the bundle was made for",
                "give a smaller one, or export with a wider --dynamic",
            )
        return replace(self, batch=replace(self.batch, opt=min(self.batch.opt, most), max=most))


def find_batch(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], symbol: str) -> tuple[Axis | None, str]:
    """The batch: axis 0 of every input and output, named ``symbol``, which no other axis has. Else None, and the reason."""
    for kind, specs in (("input", inputs), ("output", outputs)):
        for spec in specs:
            if not spec.axes or spec.axes[0].symbol != symbol:
                return None, f"axis 0 of {kind} {spec.describe()} is not the free axis {symbol!r}"
            if any(axis.symbol == symbol for axis in spec.axes[1:]):
                return None, f"{kind} {spec.describe()} has {symbol!r} on another axis than 0, too"
    return inputs[0].axes[0], ""


Config = Any
"""A ``ModelConfig`` message; tritonclient has no type hints."""

_PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "tensorrt": "tensorrt_plan"}
_KINDS = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}


def client_module(name: str, user: str) -> Any:
    """Return ``tritonclient.NAME``. Raise MissingBackendError if it is not installed: ``user`` is what needs it."""
    try:
        return importlib.import_module(f"tritonclient.{name}")
    except ImportError as error:
        problem = f"{user} needs tritonclient ({first_line(error)})"
        raise MissingBackendError(problem, "install it with: pip install 'attnexport[serve]'") from error


def schema() -> Any:
    """tritonclient's module of messages. Raise MissingBackendError if it is not installed."""
    return client_module("grpc.model_config_pb2", "a model repository")


def model_config(name: str, backend: str, border: ModelTensors, options: RepositoryOptions) -> Config:
    """The configuration of a model: tensors, batching, instances, versions."""
    pb = schema()
    config = pb.ModelConfig(name=name, backend=backend, max_batch_size=border.max_batch)
    if backend in _PLATFORMS:
        config.platform = _PLATFORMS[backend]
    add_tensors(config, border.inputs, border.outputs)
    if border.batch is not None:
        config.dynamic_batching.SetInParent()
        if options.delay:
            config.dynamic_batching.max_queue_delay_microseconds = options.delay
        if options.max_queue is not None:
            config.dynamic_batching.default_queue_policy.max_queue_size = options.max_queue
    # A session of the Python backend chooses its device itself, and Triton is to start it once, not once per GPU.
    kind = "KIND_MODEL" if backend == "python" else _KINDS[options.device]
    config.instance_group.add(count=options.instances, kind=pb.ModelInstanceGroup.Kind.Value(kind))
    add_version_policy(config, options.keep)
    return config


def add_tensors(config: Config, inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> None:
    """Declare inputs and outputs."""
    pb = schema()
    for into, tensors in ((config.input, inputs), (config.output, outputs)):
        for tensor in tensors:
            added = into.add(name=tensor.name, data_type=pb.DataType.Value(tensor.type), dims=tensor.dims)
            if tensor.scalar:
                added.reshape.SetInParent()


def add_version_policy(config: Config, keep: int) -> None:
    """Serve the newest ``keep`` versions, all for 0."""
    if keep:
        config.version_policy.latest.num_versions = keep
    else:
        config.version_policy.all.SetInParent()


def add_parameters(config: Config, values: Mapping[str, object]) -> None:
    """Add parameters for the Python backend's model, as text; None is left out."""
    for key, value in values.items():
        if value is not None:
            config.parameters[key].string_value = str(value)


def to_text(config: Config, header: Sequence[str] = ()) -> str:
    """``config.pbtxt``, with ``header`` as comments."""
    from google.protobuf import text_format

    return "".join(f"# {line}\n" for line in header) + str(text_format.MessageToString(config))


def parse(text: str, where: str) -> Config:
    """Read a ``config.pbtxt``. Raise InputError, with protobuf's message, for anything that Triton's schema does not have."""
    from google.protobuf import text_format

    try:
        return text_format.Parse(text, schema().ModelConfig())
    except text_format.ParseError as error:
        raise InputError(
            f"{where} is not a configuration of Triton: {first_line(error)}", "write the repository again"
        ) from error
