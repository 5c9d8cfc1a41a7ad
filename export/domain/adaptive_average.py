"""AdaptiveAverage: one axis pooled to a given length by means over windows that differ in length by one or two.

    y[..., p, ...] = mean of x[..., a(p) : b(p), ...]     a(p) = floor(p*S/O),  b(p) = ceil((p + 1)*S/O)

S is the length of ``axis``, output_size int64[1] = (O,), and x has any rank. Two or three axes are pooled one after the
other: every window is a box, and the mean over a box is the mean of means over its equally long lines.
Source: torch.nn.AdaptiveAvgPool2d; ATen/native/AdaptivePooling.h.
"""

import numpy as np
import onnx

from .adaptive_windows import pooled, pooling_schema, windows_body
from .operator import Array

_MEAN = """inside = Less (place, ends_column)
        inside_type = CastLike (inside, x)
        sizes_type = CastLike (sizes_column, x)
        weight = Div (inside_type, sizes_type)
        weight_last = Unsqueeze (weight, third)
        weighed = Mul (gathered, weight_last)
        pooled = ReduceSum <keepdims: int = 0> (weighed, third)"""

SCHEMA = pooling_schema("AdaptiveAverage", __doc__)


def reference(x: Array, output_size: Array, *, axis: int) -> Array:
    """The formula in NumPy, any rank and float dtype."""
    return pooled(np.mean, x, int(output_size[0]), axis)


def body() -> onnx.FunctionProto:
    """Gather of every window, the shorter ones filled with their last value, which weighs nothing; then the mean."""
    return windows_body("AdaptiveAverage", _MEAN)
