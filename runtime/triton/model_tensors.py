"""The inputs and outputs of a model in Triton's terms: the batch is separate, other axes are sizes or -1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...errors import InputError
from ..spec import Axis, TensorSpec

TYPES = {
    "float16": "TYPE_FP16", "float32": "TYPE_FP32", "float64": "TYPE_FP64", "int8": "TYPE_INT8", "int16": "TYPE_INT16",
    "int32": "TYPE_INT32", "int64": "TYPE_INT64", "uint8": "TYPE_UINT8", "bool": "TYPE_BOOL",
}  # fmt: skip


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
    def of(cls, spec: TensorSpec, *, batched: bool) -> Tensor:
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
    def of(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], symbol: str) -> ModelTensors:
        """The tensors of a graph whose rows, along the axes named ``symbol``, are independent."""
        batch, why = find_batch(inputs, outputs, symbol)
        batched = batch is not None
        return cls(
            tuple(Tensor.of(spec, batched=batched) for spec in inputs),
            tuple(Tensor.of(spec, batched=batched) for spec in outputs),
            batch,
            why and f"requests are not grouped: {why}",
        )

    def capped(self, most: int | None) -> ModelTensors:
        """With batches of at most ``most`` rows. Raise InputError outside the model's range, or if requests are not grouped."""
        if most is None:
            return self
        if self.batch is None:
            raise InputError(
                f"--max-batch {most} is set and {self.note}", "leave it out, or name the axis: --batch-axis"
            )
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
