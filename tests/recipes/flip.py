"""A made-up operator of the domain, Flip: values along one axis in reverse order.

y[..., d, ...] = x[..., D - 1 - d, ...]     along ``axis`` of size D
"""

from __future__ import annotations

import numpy as np
import onnx

from attnexport.export.domain.operator import MOVABLE, Attributes, function, input_dims, schema

SCHEMA = schema(
    "Flip",
    __doc__,
    inputs=[("x", "T")],
    output="y",
    types=MOVABLE,
    infer=lambda context: input_dims(context, 0),
    attributes=Attributes(ints=["axis"]),
)


def reference(x: np.ndarray, *, axis: int) -> np.ndarray:
    """The formula in NumPy, any dtype and rank."""
    return np.flip(x, axis)


def body() -> onnx.FunctionProto:
    """One Slice with step -1."""
    return function("""
    Flip <axis> (x) => (y) {
        axis = Constant <value_int: int = @axis> ()
        last = Constant <value = int64[1] {-1}> ()
        end = Constant <value = int64[1] {-9223372036854775807}> ()
        zero = Constant <value = int64[1] {0}> ()
        here = Unsqueeze (axis, zero)
        y = Slice (x, last, end, here, last)
    }""")
