"""Single operators that torch.onnx (2.13) has no translation for: cdist, whether all or any booleans are true, negated views.

    cdist              d[..., i, j] = || x[..., i, :] - y[..., j, :] ||_p
    _is_all_true(x)    not any(not x)        _is_any_true(x) = any(x),   of no element true and false

torch itself takes |x|^2 + |y|^2 - 2xy for more than 25 rows, which cancels to noise where points are close, in FP16 first of all. Here the
differences are taken, at the price of a tensor (..., P, R, M). ``torch._check_tensor_all`` asks whether all is true; checks have no
place in a graph, so what they ask is mostly left out again as unread. A negated view is where torch keeps the imaginary part of a
conjugate.
"""

import math
from typing import Any

from onnxscript import opset18 as op

from .shared import Translations, aten, ints

_INT32, _BOOL = 6, 9


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


def _all_true(x: Any) -> Any:
    return op.Not(_any_true(op.Not(x)))


def _any_true(x: Any) -> Any:
    ops: Any = op
    return ops.Cast(ops.ReduceSum(ops.Cast(x, to=_INT32), keepdims=0), to=_BOOL)


MISSING: Translations = {
    aten.cdist.default: _cdist,
    aten._cdist_forward.default: _cdist,
    aten._is_all_true.default: _all_true,
    aten._is_any_true.default: _any_true,
    aten._neg_view.default: lambda x: op.Neg(x),
}
