"""torch.cdist, which torch.onnx (2.13) has no translation for: the distances as they are defined.

    d[..., i, j] = || x[..., i, :] - y[..., j, :] ||_p

torch itself takes |x|^2 + |y|^2 - 2xy for more than 25 rows, which cancels to noise where points are close, in FP16 first of all. Here the
differences are taken, at the price of a tensor (..., P, R, M).
"""

from __future__ import annotations

import math
from typing import Any

from onnxscript import opset18 as op

from .shared import Translations, aten, ints


def _cdist(x: Any, y: Any, p: float = 2.0, compute_mode: int | None = None) -> Any:
    """x (..., P, M), y (..., R, M) -> (..., P, R), the axes in front broadcast."""
    ops: Any = op
    last = ints(-1)
    rows, columns = ops.Unsqueeze(x, ints(-2)), ops.Unsqueeze(y, ints(-3))
    apart = ops.Sub(rows, columns)
    if p == 2:
        return ops.ReduceL2(apart, last, keepdims=0)
    if p == 1:
        return ops.ReduceL1(apart, last, keepdims=0)
    if math.isinf(p):
        return ops.ReduceMax(ops.Abs(apart), last, keepdims=0)
    if p == 0:
        same = ops.Equal(apart, ops.CastLike(ops.Constant(value_float=0.0), x))
        return ops.ReduceSum(ops.CastLike(ops.Not(same), x), last, keepdims=0)
    power, root = (ops.CastLike(ops.Constant(value_float=value), x) for value in (p, 1 / p))
    return ops.Pow(ops.ReduceSum(ops.Pow(ops.Abs(apart), power), last, keepdims=0), root)


DISTANCES: Translations = {aten.cdist.default: _cdist, aten._cdist_forward.default: _cdist}
