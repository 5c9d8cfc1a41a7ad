"""AdaptiveMax: one axis pooled to a given length by maximums over windows that differ in length by one or two.

    y[..., p, ...] = max of x[..., a(p) : b(p), ...]     a(p) = floor(p*S/O),  b(p) = ceil((p + 1)*S/O)

S is the length of ``axis``, output_size int64[1] = (O,), and x has any rank. Two or three axes are pooled one after the
other: every window is a box, and its maximum is that of the maxima of its lines.
Source: torch.nn.AdaptiveMaxPool2d; ATen/native/AdaptivePooling.h.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from .adaptive_windows import infer, pooled, windows_body
from .operator import FLOATS, Attributes, schema

Array = npt.NDArray[Any]

_MAX = "pooled = ReduceMax <keepdims: int = 0> (gathered, third)"

SCHEMA = schema(
    "AdaptiveMax",
    __doc__,
    inputs=[("x", "T"), ("output_size", "tensor(int64)")],
    output="y",
    types=FLOATS,
    infer=infer,
    attributes=Attributes(ints=["axis"]),
)


def reference(x: Array, output_size: Array, *, axis: int) -> Array:
    """The formula in NumPy, any rank and float dtype."""
    return pooled(np.max, x, int(output_size[0]), axis)


def body() -> onnx.FunctionProto:
    """Gather of every window, the shorter ones filled with their last value; then the maximum."""
    return windows_body("AdaptiveMax", _MAX)
