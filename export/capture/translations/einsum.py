"""torch.einsum of operands of several types: torch promotes them, ONNX's Einsum takes one type.

    einsum("i,j->ij", arange(n), frequencies)  ->  Einsum(Cast(arange), frequencies)      a rotary embedding as it is often written

torch.onnx (2.13) writes the operands as they are; ONNX Runtime refuses the node, and folding it gives float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from onnx_ir import tensor_adapters
from onnxscript import opset18 as op

from .shared import Translations, aten


def _einsum(equation: str, tensors: Sequence[Any], path: Sequence[int] | None = None) -> Any:
    types = [tensor_adapters.to_torch_dtype(x.dtype) for x in tensors]
    common = types[0]
    for one in types[1:]:
        common = torch.promote_types(common, one)
    to = tensor_adapters.from_torch_dtype(common)
    operands: list[Any] = [x if one == common else op.Cast(x, to=to) for x, one in zip(tensors, types, strict=True)]
    einsum: Any = op.Einsum
    return einsum(*operands, equation=equation)


EINSUM: Translations = {aten.einsum.default: _einsum}
