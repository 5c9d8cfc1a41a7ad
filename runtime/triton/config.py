"""``config.pbtxt`` as Triton's protobuf message, so that no field, type or enumeration can be misspelt."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import InputError, MissingBackendError, first_line
from .model_tensors import ModelTensors, Tensor
from .options import RepositoryOptions

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
