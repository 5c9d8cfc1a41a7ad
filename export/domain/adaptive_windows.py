"""The windows that AdaptiveAverage and AdaptiveMax share: where each begins and ends, and the body up to the reduction.

    window p of O over S values is [floor(p*S/O), ceil((p + 1)*S/O))

so windows differ in length by one or two, and overlap where O does not divide S. Source: ATen/native/AdaptivePooling.h
(start_index, end_index).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx.defs import OpSchema

from .operator import FLOATS, Array, Attributes, Context, Dim, attribute, function, input_dims, known_values, schema


def windows(size: int, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First and past-the-last index of each of ``count`` windows over ``size`` values."""
    p = np.arange(count)
    return p * size // count, -(-(p + 1) * size // count)


def pooled(reduce: Callable[..., Any], x: Array, count: int, axis: int) -> Array:
    """``reduce`` over every window of one axis."""
    moved = np.moveaxis(x, axis, -1)
    starts, ends = windows(moved.shape[-1], count)
    return np.stack([reduce(moved[..., a:b], axis=-1) for a, b in zip(starts, ends, strict=True)], axis=axis)


def _infer(context: Context) -> list[Dim] | None:
    dims = input_dims(context, 0)
    if dims is not None:
        length = known_values(context, 1)
        dims[attribute(context, "axis")] = None if length is None else length[0]
    return dims


def pooling_schema(name: str, doc: str) -> OpSchema:
    """The schema of operator ``name``: the output has the axes of x, the pooled one of the length asked for."""
    inputs = [("x", "T"), ("output_size", "tensor(int64)")]
    axis = Attributes(ints=["axis"])
    return schema(name, doc, inputs=inputs, output="y", types=FLOATS, infer=_infer, attributes=axis)


# The index of place t in window p, held inside the window, reads each window's last value again where it is shorter
# than the longest: no harm to a maximum, and of no weight in a mean.
_TEXT = """
    {name} <axis> (x, output_size) => (y) {{
        axis = Constant <value_int: int = @axis> ()
        zero = Constant <value = int64 {{0}}> ()
        one = Constant <value = int64 {{1}}> ()
        first = Constant <value = int64[1] {{0}}> ()
        second = Constant <value = int64[1] {{1}}> ()
        third = Constant <value = int64[1] {{2}}> ()
        end = Constant <value = int64[1] {{9223372036854775807}}> ()
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
        count = Squeeze (output_size)
        p = Range (zero, count, one)
        scaled = Mul (p, length)
        starts = Div (scaled, count)
        following = Add (p, one)
        reach = Mul (following, length)
        raised = Add (reach, count)
        rounded = Sub (raised, one)
        ends = Div (rounded, count)
        sizes = Sub (ends, starts)
        longest_row = ReduceMax <keepdims: int = 0> (sizes)
        t = Range (zero, longest_row, one)
        starts_column = Unsqueeze (starts, second)
        ends_column = Unsqueeze (ends, second)
        sizes_column = Unsqueeze (sizes, second)
        place = Add (starts_column, t)
        lasts = Sub (ends_column, one)
        index = Min (place, lasts)
        gathered = Gather <axis: int = 1> (folded, index)
        {reduce}
        full_shape = Concat <axis: int = 0> (before, output_size, after)
        y = Reshape <allowzero: int = 1> (pooled, full_shape)
    }}"""


def windows_body(name: str, reduce: str) -> onnx.FunctionProto:
    """The body of operator ``name``: Gather of every window, then ``reduce``: from ``gathered`` to ``pooled``.

    ``gathered`` is (outer, O, longest window, inner); ``place``, ``ends_column`` and ``sizes_column`` are at hand.
    """
    return function(_TEXT.format(name=name, reduce=reduce))
