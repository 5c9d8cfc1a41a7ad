"""Whether all, or any, of a tensor's booleans are true, as ``torch._check_tensor_all`` asks; torch.onnx (2.13) has no translation.

    _is_all_true(x) = not any(not x)        _is_any_true(x) = any(x)

of all axes, and of no element true and false. Checks have no place in a graph, so what they ask is mostly left out again as unread.
"""

from __future__ import annotations

from typing import Any

from onnxscript import opset18 as op

from .shared import Translations, aten

_INT32, _BOOL = 6, 9


def _all_true(x: Any) -> Any:
    return op.Not(_any_true(op.Not(x)))


def _any_true(x: Any) -> Any:
    ones: Any = op.Cast(x, to=_INT32)
    number: Any = op.ReduceSum(ones, keepdims=0)
    return op.Cast(number, to=_BOOL)


ALL_TRUE: Translations = {aten._is_all_true.default: _all_true, aten._is_any_true.default: _any_true}
