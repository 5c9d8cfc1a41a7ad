"""Whether all, or any, of a tensor's booleans are true, as ``torch._check_tensor_all`` asks; torch.onnx (2.13) has no translation.

    _is_all_true(x) = not any(not x)        _is_any_true(x) = any(x)

of all axes, and of no element true and false. Checks have no place in a graph, so what they ask is mostly left out again as unread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18 as op

_INT32, _BOOL = 6, 9


def all_true_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The entries of the table that :func:`translate.translations` puts together."""
    return {torch.ops.aten._is_all_true.default: _all_true, torch.ops.aten._is_any_true.default: _any_true}


def _all_true(x: Any) -> Any:
    return op.Not(_any_true(op.Not(x)))


def _any_true(x: Any) -> Any:
    ones: Any = op.Cast(x, to=_INT32)
    number: Any = op.ReduceSum(ones, keepdims=0)
    return op.Cast(number, to=_BOOL)
