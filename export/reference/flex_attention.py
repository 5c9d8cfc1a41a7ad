"""``flex_attention`` in FP64 and 16 bits: torch's eager formula, called directly.

On the CPU, ``flex_attention`` reaches that formula (``math_attention``) through torch.compile, which refuses the modes of those runs.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch._higher_order_ops.flex_attention import math_attention
from torch.nn.attention import flex_attention as flex

from ..forward.replaced import replaced


def _attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, score_mod: Any = None, block_mask: Any = None,
    scale: float | None = None, enable_gqa: bool = False, **options: Any,
) -> Any:  # fmt: skip
    """As ``flex_attention``, without a check of its arguments."""
    mask = flex._create_empty_block_mask(query, key) if block_mask is None else block_mask
    result, lse, largest = math_attention(
        query, key, value, score_mod or flex._identity, mask.as_tuple(),
        query.shape[-1] ** -0.5 if scale is None else scale, {},
    )  # fmt: skip
    lse, largest = lse * math.log(2), largest * math.log(2)  # the formula gives them to base 2
    if (aux := options.get("return_aux")) is not None:
        return result, flex.AuxOutput(lse if aux.lse else None, largest if aux.max_scores else None)
    return (result, lse) if options.get("return_lse") else result


def flex_in_eager(module: torch.nn.Module) -> AbstractContextManager[None]:
    """Inside, a call of ``flex_attention`` is torch's eager formula."""
    return nullcontext() if isinstance(module, torch.jit.ScriptModule) else replaced(_STAND_INS, flex)


_STAND_INS = {flex.flex_attention: _attention}
