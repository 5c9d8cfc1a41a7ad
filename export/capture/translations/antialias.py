"""F.interpolate with antialias=True as two products with the exact weights of its kernel.

    y = W_h x W_w^T,   W_h (H', H) and W_w (W', W): the kernel's own response to each single pixel

Resize has an attribute for it that TensorRT refuses, and whose kernel is not torch's. The filter is linear and separable, so its weights
are read from torch itself, in FP64. If a size is free, the graph computes them: pixel j of n gives to pixel o of m

    f(d k) / sum_j f(d k),    d = (j + 1/2) - (o + 1/2) n / m,    k = min(m / n, 1)

with f the triangle or Keys' cubic of a = -1/2, as in PIL. The numerator of d is an integer, so that FP32 has it exactly. With
align_corners, n / m is (n - 1) / (m - 1), as torch computes it; with a scale factor s it is 1 / s.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnxscript import opset18 as op

from .shared import Translations, aten, ints

_FLOAT = 1


def weights(
    kernel: Callable[..., torch.Tensor], size: int, wanted: int, align_corners: bool, scale: float | None
) -> torch.Tensor:
    """(wanted, size), float64: what each of ``size`` pixels gives to each of ``wanted``. ``scale``: the factor, where one was given."""
    pixels = torch.eye(size, dtype=torch.float64)[None, None]
    return kernel(pixels, [wanted, size], align_corners, scale, None)[0, 0]


def _computed(shape: Any, axis: int, wanted: Any, align_corners: bool, scale: float | None, cubic: bool) -> Any:
    """(wanted, size), float32: the same, in the graph. ``shape``: that of the tensor that is resized along ``axis``."""
    ops: Any = op
    zero, one, two = (ops.Constant(value_int=value) for value in (0, 1, 2))
    size = ops.Gather(shape, ops.Constant(value_int=axis))
    wanted = ops.Constant(value_int=wanted) if isinstance(wanted, int) else ops.Squeeze(wanted)
    j = ops.Unsqueeze(ops.Range(zero, size, one), ints(0))
    o = ops.Unsqueeze(ops.Range(zero, wanted, one), ints(1))
    centre = ops.Add(ops.Mul(o, two), one)
    if scale is not None and not align_corners:
        factor = ops.Constant(value_float=0.5 / scale)
        half = ops.Add(ops.Cast(j, to=_FLOAT), ops.Constant(value_float=0.5))
        apart = ops.Sub(half, ops.Mul(ops.Cast(centre, to=_FLOAT), factor))
        return _normal(ops.Mul(apart, ops.Constant(value_float=min(scale, 1.0))), cubic)
    if align_corners:
        many = ops.Min(ops.Sub(wanted, one), one)  # for one pixel, torch takes a ratio of 0
        above, below = ops.Mul(ops.Sub(size, one), many), ops.Max(ops.Sub(wanted, one), one)
    else:
        above, below = size, wanted
    pixel = ops.Add(ops.Mul(j, two), one)
    numerator = ops.Cast(ops.Sub(ops.Mul(pixel, below), ops.Mul(centre, above)), to=_FLOAT)
    divisor = ops.Cast(ops.Mul(ops.Max(above, below), two), to=_FLOAT)
    return _normal(ops.Div(numerator, divisor), cubic)


def _normal(distance: Any, cubic: bool) -> Any:
    """The filter at each distance, in units of its pixel, each row to a sum of 1."""
    ops: Any = op
    x = ops.Abs(distance)

    def number(value: float) -> Any:
        return ops.Constant(value_float=value)

    if cubic:
        near = ops.Add(ops.Mul(ops.Mul(ops.Sub(ops.Mul(x, number(1.5)), number(2.5)), x), x), number(1.0))
        far = ops.Sub(ops.Mul(ops.Add(ops.Mul(ops.Sub(x, number(5.0)), x), number(8.0)), x), number(4.0))
        beyond = ops.Where(ops.Less(x, number(2.0)), ops.Mul(far, number(-0.5)), number(0.0))
        values = ops.Where(ops.Less(x, number(1.0)), near, beyond)
    else:
        values = ops.Relu(ops.Sub(number(1.0), x))
    return ops.Div(values, ops.ReduceSum(values, ints(1)))


def _resize(kernel: Callable[..., torch.Tensor], *, cubic: bool) -> Callable[..., Any]:
    def translated(
        x: Any, size: Any, align_corners: bool, scale_h: float | None = None, scale_w: float | None = None
    ) -> Any:
        before, after = list(x.shape[-2:]), list(size)
        kind = x.dtype.numpy() if x.dtype in (ir.DataType.DOUBLE, ir.DataType.FLOAT16) else np.float32
        for axis, scale in ((-2, scale_h), (-1, scale_w)):
            if not (isinstance(before[axis], int) and isinstance(after[axis], int)):
                matrix = op.CastLike(_computed(op.Shape(x), axis, after[axis], align_corners, scale, cubic), x)
                x = op.MatMul(matrix, x) if axis == -2 else op.MatMul(x, op.Transpose(matrix, perm=[1, 0]))
                continue
            if before[axis] == after[axis] and scale in (None, 1.0):
                continue
            matrix = weights(kernel, before[axis], after[axis], align_corners, scale).numpy().astype(kind)
            tensor = ir.tensor(matrix if axis == -2 else matrix.T.copy())
            constant = op.Constant(value=ir.serde.serialize_tensor(tensor))
            x = op.MatMul(constant, x) if axis == -2 else op.MatMul(x, constant)
        return x

    return translated


ANTIALIAS: Translations = {
    aten._upsample_bilinear2d_aa.default: _resize(aten._upsample_bilinear2d_aa.default, cubic=False),
    aten._upsample_bicubic2d_aa.default: _resize(aten._upsample_bicubic2d_aa.default, cubic=True),
}
