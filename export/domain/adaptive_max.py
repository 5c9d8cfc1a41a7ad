"""AdaptiveMax: one axis pooled to a given length by maximums over windows that differ in length by one or two.

    y[..., p, ...] = max of x[..., a(p) : b(p), ...]     a(p) = floor(p*S/O),  b(p) = ceil((p + 1)*S/O)

S is the length of ``axis``, output_size int64[1] = (O,), and x has any rank. Two or three axes are pooled one after the
other: every window is a box, and its maximum is that of the maxima of its lines.
Source: torch.nn.AdaptiveMaxPool2d; ATen/native/AdaptivePooling.h.
"""

import numpy as np
import onnx

from .adaptive_windows import pooled, pooling_schema, windows_body
from .operator import Array

SCHEMA = pooling_schema("AdaptiveMax", __doc__)


def reference(x: Array, output_size: Array, *, axis: int) -> Array:
    """The formula in NumPy, any rank and float dtype."""
    return pooled(np.max, x, int(output_size[0]), axis)


def body() -> onnx.FunctionProto:
    """Gather of every window, the shorter ones filled with their last value; then the maximum."""
    return windows_body("AdaptiveMax", "pooled = ReduceMax <keepdims: int = 0> (gathered, third)")
