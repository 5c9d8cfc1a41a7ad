"""aten.atan2 by octants, with PyTorch's signs at zero.

    t = min(|y|, |x|) / max(|y|, |x|)                in [0, 1]; 0 / 0 counts as 0, and inf / inf as 1
    a = high + (rest +- atan(t))                     high + rest is 0, pi/2 or pi; FP32 alone holds pi with an error of 8.7e-8
    atan2(y, x) = -a if y has a minus sign, else a   a zero has the sign of its reciprocal

torch.onnx (2.13) writes atan(y / x) +- pi instead: its error is twice that of PyTorch's atan2, atan2(0, -1) becomes -pi instead of pi,
and NaN becomes 0.
"""

import math
from typing import Any

import numpy as np
import onnx_ir as ir
from onnxscript import opset18 as op

from .shared import Translations, aten

_PI_REST = 1.2246467991473532e-16
"""pi minus FP64's pi."""


def _atan2(y: Any, x: Any) -> Any:
    """y and x of one float type, broadcast -> angles within [-pi, pi] of the same type."""
    ops: Any = op
    height, width = ops.Abs(y), ops.Abs(x)
    larger, smaller = ops.Max(height, width), ops.Min(height, width)
    part = ops.Atan(ops.Where(ops.Equal(smaller, larger), ops.Sign(larger), ops.Div(smaller, larger)))
    steep, left = ops.Greater(height, width), _negative(x)
    (half, half_rest), (whole, whole_rest) = (_split(angle, x) for angle in (0.5, 1.0))
    zero = _constant(0.0, x)
    high = ops.Where(steep, half, ops.Where(left, whole, zero))
    rest = ops.Where(steep, half_rest, ops.Where(left, whole_rest, zero))
    angle = ops.Add(high, ops.Add(rest, ops.Where(ops.Xor(steep, left), ops.Neg(part), part)))
    return ops.Where(_negative(y), ops.Neg(angle), angle)


def _negative(value: Any) -> Any:
    """Whether numbers have a minus sign, zeros included."""
    ops: Any = op
    zero = _constant(0.0, value)
    return ops.Or(ops.Less(value, zero), ops.Less(ops.Reciprocal(value), zero))


def _split(turns: float, like: Any) -> tuple[Any, Any]:
    """``turns`` times pi in the type of ``like``, and what that lacks."""
    high = float(np.asarray(turns * math.pi).astype(like.dtype.numpy()))
    return _constant(high, like), _constant(turns * math.pi - high + turns * _PI_REST, like)


def _constant(value: float, like: Any) -> Any:
    ops: Any = op
    return ops.Constant(value=ir.tensor(np.asarray(value).astype(like.dtype.numpy()), dtype=like.dtype))


ANGLE: Translations = {aten.atan2.default: _atan2}
