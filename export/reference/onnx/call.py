"""One evaluation of one node: what a kernel receives and returns.

Every float tensor is float64, whatever its type in the file is; integers, booleans and strings have the types of the
file. A sequence is a list, an empty optional is :data:`EMPTY`, an input that the node leaves out is None.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Value = Any
"""A tensor, a list of tensors, :data:`EMPTY`, or None for an input that is left out."""

FLOATS: Final = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
"""Element types whose tensors are float64 here."""


FLOAT8: Final = frozenset(
    {TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ}
)


class _Empty:
    """The type of :data:`EMPTY`."""

    def __repr__(self) -> str:
        return "an empty optional"


EMPTY: Final = _Empty()
"""An optional without an element."""


class NotCovered(Exception):
    """A kernel does not have this form of its operator; the next one is asked."""


@dataclass(frozen=True)
class Call:
    """A node with its inputs.

    ``opset``: the version of the node's domain. ``outputs``: which outputs the node names.
    """

    node: onnx.NodeProto
    opset: int
    inputs: tuple[Value, ...]
    attributes: Mapping[str, Any]

    @property
    def outputs(self) -> tuple[bool, ...]:
        """For each output whether something reads it."""
        return tuple(bool(name) for name in self.node.output)

    def present(self, index: int) -> bool:
        """Whether input ``index`` exists."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def optional(self, index: int) -> Any:
        """Input ``index``, None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def array(self, index: int) -> Array:
        """Input ``index``. Raises NotCovered if it is left out or not a tensor."""
        value = self.optional(index)
        if not isinstance(value, np.ndarray):
            raise NotCovered
        return value

    def real(self, index: int) -> Array:
        """Input ``index`` as float64. Raises NotCovered for any other type."""
        value = self.array(index)
        if value.dtype != np.float64:
            raise NotCovered
        return value

    def ints(self, index: int) -> list[int] | None:
        """Input ``index`` as a list of integers, None if it is left out."""
        value = self.optional(index)
        return None if value is None else [int(v) for v in np.atleast_1d(value)]

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes.get(name, default))

    def flag(self, name: str, default: int = 0) -> bool:
        """A boolean attribute."""
        return bool(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def number(self, name: str, default: float) -> float:
        """A float attribute: the FP32 value that the file stores, or that the standard's default has in FP32."""
        return float(np.float32(self.attributes.get(name, default)))

    def numbers(self, name: str) -> list[float]:
        """A list of float attributes."""
        return [float(np.float32(v)) for v in self.attributes.get(name, ())]

    def integers(self, name: str) -> list[int] | None:
        """A list of integer attributes, None if the node has none."""
        value = self.attributes.get(name)
        return None if value is None else [int(v) for v in value]


Kernel = Callable[[Call], Sequence[Value]]
"""Returns the outputs in order, at least up to the last that is read. Raises NotCovered for a form that it lacks."""


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes by name; graphs and tensors as protobuf messages."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def widened(value: Value) -> Value:
    """``value`` with every float tensor in float64."""
    if isinstance(value, list):
        return [widened(v) for v in value]
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and (value.dtype.kind == "f" or value.dtype.name == "bfloat16"):
        return value.astype(np.float64, copy=False)
    return value


def tensor_value(tensor: onnx.TensorProto) -> Array:
    """The tensor of a message, floats in float64."""
    array: Array = widened(numpy_helper.to_array(tensor))
    return array.astype(object) if tensor.data_type == TensorProto.STRING else array


def as_torch(array: Array) -> torch.Tensor:
    """The array as a tensor, which shares its memory if it can."""
    if any(step < 0 for step in array.strides) or not array.flags.writeable:
        array = array.copy()
    return torch.from_numpy(array)


def as_array(tensor: torch.Tensor) -> Array:
    """The tensor as an array, which shares its memory."""
    array: Array = tensor.numpy()
    return array
