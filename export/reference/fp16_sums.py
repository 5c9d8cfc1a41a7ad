"""PyTorch's 16-bit products as a GPU computes them: operands in FP16, sums in FP32, one rounding at the end.

PyTorch's CPU kernels compute the same and give the same errors to three digits (tests/export/reference/test_fp16_sums.py),
but on a processor without FP16 arithmetic they are 20 to 200 times slower than in FP32: a dilated convolution of 256
channels on 96 x 96 places took 24 s, and takes 0.13 s here. Attention in one call (``F.scaled_dot_product_attention``) is
left to PyTorch, whose kernel rounds its weights before it applies them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
PRODUCTS: frozenset[Callable[..., Any]] = frozenset(
    {
        _ATEN.addbmm.default,
        _ATEN.addmm.default,
        _ATEN.addmv.default,
        _ATEN.baddbmm.default,
        _ATEN.bmm.default,
        _ATEN.convolution.default,
        _ATEN.linear.default,
        _ATEN.mm.default,
        _ATEN.mv.default,
    }
)
"""What convolutions, linear layers and products of matrices come down to."""


class SumsInSingle(TorchDispatchMode):
    """Inside, products of FP16 tensors are summed in FP32; below autocast, so it sees what autocast has decided."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = (args, dict(kwargs or {}))
        if func not in PRODUCTS or not any(map(_is_half, pytree.tree_leaves(given))):
            return func(*args, **(kwargs or {}))
        wide, named = pytree.tree_map(lambda value: value.float() if _is_half(value) else value, given)
        return func(*wide, **named).half()


def _is_half(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype is torch.float16
