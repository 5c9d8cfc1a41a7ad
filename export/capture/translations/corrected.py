"""Translations that torch.onnx (2.13) writes wrongly: einsum of several types, and convolutions in three dimensions.

    einsum("i,j->ij", arange(n), frequencies)  ->  Einsum(Cast(arange), frequencies)      a rotary embedding as it is often written

torch promotes the operands of einsum, ONNX's Einsum takes one type. Written as they are, ONNX Runtime refuses the node, and folding it
gives float64.

``aten.conv3d`` without bias gets one of zeros and of shape (C, 2) in torchlib, which ONNX Runtime refuses. ``Conv`` takes none at all, so
none is written. Convolutions in one and two dimensions and transposed ones are translated well.
"""

from collections.abc import Sequence
from typing import Any

import torch
from onnx_ir import tensor_adapters
from onnxscript import opset18 as op

from .shared import Translations, aten, ints


def _einsum(equation: str, tensors: Sequence[Any], path: Sequence[int] | None = None) -> Any:
    types = [tensor_adapters.to_torch_dtype(x.dtype) for x in tensors]
    common = types[0]
    for one in types[1:]:
        common = torch.promote_types(common, one)
    to = tensor_adapters.from_torch_dtype(common)
    operands: list[Any] = [x if one == common else op.Cast(x, to=to) for x, one in zip(tensors, types, strict=True)]
    einsum: Any = op.Einsum
    return einsum(*operands, equation=equation)


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


CORRECTED: Translations = {aten.einsum.default: _einsum, aten.conv3d.default: _conv3d}
