"""Unfold: sliding windows along one axis as a new last axis (torch.Tensor.unfold).

    y[..., p, ..., t] = x[..., p*step + t, ...]     0 <= t < size,  p counts (D - size) // step + 1 windows along
    ``axis``

x has any rank; y has one axis more. Source: torch.Tensor.unfold; ATen/native/TensorShape.cpp.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from .operator import MOVABLE, Array, Attributes, Context, Dim, attribute, function, input_dims, positions, schema


def _infer(context: Context) -> Sequence[Dim] | None:
    dims = input_dims(context, 0)
    if dims is None:
        return None
    axis, size, step = (attribute(context, key) for key in ("axis", "size", "step"))
    dims[axis] = positions(dims[axis], size, step)
    return [*dims, size]


SCHEMA = schema(
    "Unfold",
    __doc__,
    inputs=[("x", "T")],
    output="y",
    types=MOVABLE,
    infer=_infer,
    attributes=Attributes(ints=["axis", "size", "step"]),
)


def reference(x: Array, *, axis: int, size: int, step: int) -> Array:
    """The formula in NumPy, any dtype and rank."""
    count = (x.shape[axis] - size) // step + 1
    windows = [np.moveaxis(x, axis, -1)[..., p * step : p * step + size] for p in range(count)]
    return np.stack(windows, axis=axis)


def body() -> onnx.FunctionProto:
    """Gather windows of the axis, with the axes before and after it folded so that the rank may be any."""
    return function("""
    Unfold <axis, size, step> (x) => (y) {
        axis = Constant <value_int: int = @axis> ()
        size = Constant <value_int: int = @size> ()
        step = Constant <value_int: int = @step> ()
        zero = Constant <value = int64 {0}> ()
        one = Constant <value = int64 {1}> ()
        first = Constant <value = int64[1] {0}> ()
        second = Constant <value = int64[1] {1}> ()
        end = Constant <value = int64[1] {9223372036854775807}> ()
        here = Unsqueeze (axis, first)
        next = Add (here, second)
        shape = Shape (x)
        before = Slice (shape, first, here)
        after = Slice (shape, next, end)
        outer = ReduceProd (before)
        inner = ReduceProd (after)
        length = Gather (shape, here)
        folded_shape = Concat <axis: int = 0> (outer, length, inner)
        folded = Reshape <allowzero: int = 1> (x, folded_shape)
        free = Sub (length, size)
        steps = Div (free, step)
        count = Add (steps, second)
        count_scalar = Squeeze (count)
        p = Range (zero, count_scalar, one)
        t = Range (zero, size, one)
        starts = Mul (p, step)
        starts_column = Unsqueeze (starts, second)
        index = Add (starts_column, t)
        windows = Gather <axis: int = 1> (folded, index)
        ordered = Transpose <perm: ints = [0, 1, 3, 2]> (windows)
        window = Unsqueeze (size, first)
        full_shape = Concat <axis: int = 0> (before, count, after, window)
        y = Reshape <allowzero: int = 1> (ordered, full_shape)
    }""")
