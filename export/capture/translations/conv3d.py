"""``aten.conv3d``, whose translation in torchlib gives a convolution without bias one of zeros and of shape (C, 2).

ONNX Runtime refuses a bias of two axes. ``Conv`` takes none at all, so none is written. Convolutions in one and two dimensions and
transposed ones are translated well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnxscript import opset18 as op

from .shared import Translations, aten, ints

_SPACE = 3


def _each_axis(values: int | Sequence[int]) -> list[int]:
    """ATen takes one number for all axes, alone or in a list."""
    given = [values] if isinstance(values, int) else list(values)
    return given * _SPACE if len(given) == 1 else given


def _conv3d(
    x: Any, weight: Any, bias: Any = None, stride: Sequence[int] = (1,), padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,), groups: int = 1,
) -> Any:  # fmt: skip
    """x (N, C, D, H, W) or (C, D, H, W), weight (M, C / groups, kD, kH, kW), bias (M) or None."""
    pads = _each_axis(padding)
    unbatched = len(x.shape) == _SPACE + 1
    first: Any = ints(0)
    batch = op.Unsqueeze(x, first) if unbatched else x
    result = op.Conv(
        batch, weight, bias, strides=_each_axis(stride), pads=[*pads, *pads], dilations=_each_axis(dilation), group=groups
    )  # fmt: skip
    return op.Squeeze(result, first) if unbatched else result


CONVOLUTIONS: Translations = {aten.conv3d.default: _conv3d}
