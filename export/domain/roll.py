"""Roll: values shifted along one axis, those that leave at the end coming in at the start (torch.roll).

    y[..., d, ...] = x[..., (d - shift) mod D, ...]     along ``axis`` of size D

x has any rank, shift is int64[1], of either sign and any size. Source: torch.roll.
"""

import numpy as np
import onnx

from .operator import MOVABLE, Array, Attributes, function, input_dims, schema

SCHEMA = schema(
    "Roll",
    __doc__,
    inputs=[("x", "T"), ("shift", "tensor(int64)")],
    output="y",
    types=MOVABLE,
    infer=lambda context: input_dims(context, 0),
    attributes=Attributes(ints=["axis"]),
)


def reference(x: Array, shift: Array, *, axis: int) -> Array:
    """The formula in NumPy, any dtype and rank."""
    size = x.shape[axis]
    y: Array = np.take(x, (np.arange(size) - int(shift[0])) % max(size, 1), axis=axis)
    return y


def body() -> onnx.FunctionProto:
    """Two Slices at the cut, joined the other way round."""
    return function("""
    Roll <axis> (x, shift) => (y) {
        axis = Constant <value_int: int = @axis> ()
        first = Constant <value = int64[1] {0}> ()
        one = Constant <value = int64[1] {1}> ()
        end = Constant <value = int64[1] {9223372036854775807}> ()
        here = Unsqueeze (axis, first)
        shape = Shape (x)
        size = Gather (shape, here)
        divisor = Max (size, one)
        wrapped = Mod (shift, divisor)
        cut = Sub (size, wrapped)
        tail = Slice (x, cut, end, here)
        head = Slice (x, first, cut, here)
        y = Concat <axis: int = @axis> (tail, head)
    }""")
