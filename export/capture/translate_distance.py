"""torch.cdist, which torch.onnx (2.13) has no translation for: the distances as they are defined.

    d[..., i, j] = || x[..., i, :] - y[..., j, :] ||_p

torch itself takes |x|^2 + |y|^2 - 2xy for more than 25 rows, which cancels to noise where points are close, in FP16 first of all. Here the
differences are taken, at the price of a tensor (..., P, R, M).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18 as op


def distance_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The entries of the table that :func:`translate.translations` puts together."""
    return {torch.ops.aten.cdist.default: _cdist, torch.ops.aten._cdist_forward.default: _cdist}


def _cdist(x: Any, y: Any, p: float = 2.0, compute_mode: int | None = None) -> Any:
    """x (..., P, M), y (..., R, M) -> (..., P, R), the axes in front broadcast."""
    last: Any = op.Constant(value_ints=[-1])
    apart: Any = op.Sub(op.Unsqueeze(x, op.Constant(value_ints=[-2])), op.Unsqueeze(y, op.Constant(value_ints=[-3])))
    if p == 2:
        return op.ReduceL2(apart, last, keepdims=0)
    if p == 1:
        return op.ReduceL1(apart, last, keepdims=0)
    if math.isinf(p):
        return op.ReduceMax(op.Abs(apart), last, keepdims=0)
    if p == 0:
        other = op.Cast(op.Not(op.Equal(apart, op.CastLike(op.Constant(value_float=0.0), x))), to=1)
        return op.CastLike(op.ReduceSum(other, last, keepdims=0), x)
    power = op.CastLike(op.Constant(value_float=p), x)
    root = op.CastLike(op.Constant(value_float=1 / p), x)
    return op.Pow(op.ReduceSum(op.Pow(op.Abs(apart), power), last, keepdims=0), root)
