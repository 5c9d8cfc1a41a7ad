"""``flex_attention`` as tensor operations, while a module is traced.

    s(b, h, q, k) = score_mod(scale <query, key>, b, h, q, k),   -inf where mask_mod(b, h, q, k) is false
    y = softmax_k(s) value,   0 for a query without keys

torch.export keeps it as an operator of higher order, which torch.onnx cannot translate. The functions of a score and of a mask are
element-wise by definition, so they are called once with all places: b (B, 1, 1, 1), h (1, H, 1, 1), q (1, 1, L, 1), k (1, 1, 1, S).
Without a score_mod, scaled_dot_product_attention gets the mask. A BlockMask only says which blocks may be skipped: the mask_mod that
it was made from decides. Reference: torch.nn.attention.flex_attention; He et al., FlexAttention (2024).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.attention import flex_attention as flex

from ....errors import UnsupportedModelError
from ...forward.replaced import replaced

Function = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class MaskOfSizes:
    """What ``create_block_mask`` gives while a module is traced: no block is computed."""

    mask_mod: Function
    shape: tuple[Any, ...] = ()
    BLOCK_SIZE: tuple[int, int] = (128, 128)


def block_mask(mask_mod: Function, B: Any, H: Any, Q_LEN: Any, KV_LEN: Any, *_: Any, **__: Any) -> MaskOfSizes:
    """In place of ``create_block_mask``."""
    return MaskOfSizes(mask_mod, (B, H, Q_LEN, KV_LEN))


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, score_mod: Function | None = None,
    block_mask: Any = None, scale: float | None = None, enable_gqa: bool = False, **options: Any,
) -> Any:  # fmt: skip
    """In place of ``flex_attention``: query (B, H, L, E), key (B, G, S, E), value (B, G, S, E'), with G = H but for enable_gqa.

    Raises UnsupportedModelError for a BlockMask that was made from blocks instead of a function.
    """
    if enable_gqa:
        groups = query.shape[1] // key.shape[1]
        key, value = (one.repeat_interleave(groups, 1) for one in (key, value))
    places = _places(query, key)
    mask = None if block_mask is None else _mask(block_mask)(*places)
    lse, aux = options.get("return_lse"), options.get("return_aux")
    if score_mod is None and not lse and aux is None:
        result = F.scaled_dot_product_attention(query, key, value, attn_mask=_whole(mask, query, key), scale=scale)
        return _with_keys(result, mask)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if score_mod is not None:
        scores = score_mod(scores, *places).to(scores.dtype)
    if mask is not None:
        scores = torch.where(mask, scores, -torch.inf)
    result = _with_keys(scores.softmax(-1).to(value.dtype) @ value, mask)
    if aux is not None:
        return result, flex.AuxOutput(
            lse=scores.logsumexp(-1).float() if aux.lse else None,
            max_scores=scores.amax(-1).float() if aux.max_scores else None,
        )
    return (result, scores.logsumexp(-1).float()) if lse else result


def _places(query: torch.Tensor, key: torch.Tensor) -> list[torch.Tensor]:
    sizes: tuple[Any, ...] = (query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    return [
        torch.arange(size, device=query.device).view([-1 if axis == place else 1 for axis in range(4)])
        for place, size in enumerate(sizes)
    ]


def _mask(given: Any) -> Function:
    function: Function = given.mask_mod
    if function is flex.noop_mask and isinstance(given, flex.BlockMask):
        raise UnsupportedModelError(
            "flex_attention has a BlockMask that was made from blocks, without a mask_mod",
            "make it with create_block_mask from a function of (b, h, q, k)",
        )
    return function


def _whole(mask: torch.Tensor | None, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor | None:
    """With all queries and keys: a mask_mod may look at one of them only."""
    if mask is None:
        return None
    sizes: tuple[Any, ...] = (query.shape[2], key.shape[2])
    return mask.expand(*mask.shape[:-2], *sizes) if mask.dim() == 4 else mask.expand(1, 1, *sizes)


def _with_keys(result: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Zeros for queries without keys."""
    if mask is None or mask.dim() < 4:
        return result
    return torch.where(mask.any(-1, keepdim=True), result, torch.zeros((), dtype=result.dtype))


_STAND_INS: dict[Any, Any] = {flex.flex_attention: attention, flex.create_block_mask: block_mask}


def flex_as_tensors() -> AbstractContextManager[None]:
    """Inside, a model's files have :func:`attention` for ``flex_attention``, and :func:`block_mask` for ``create_block_mask``."""
    return replaced(_STAND_INS, flex)
