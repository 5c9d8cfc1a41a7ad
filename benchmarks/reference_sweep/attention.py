"""Attention and RotaryEmbedding of opset 23: heads, masks, caches, soft caps, the product's output modes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from attnexport.benchmarks.reference_sweep.case import Case, across
from attnexport.benchmarks.reference_sweep.draws import f32, of

_VARIANTS: tuple[dict[str, Any], ...] = ({}, {"is_causal": 1}, {"scale": 0.4})
_CACHED: tuple[dict[str, Any], ...] = ({}, {"is_causal": 1}, {"softcap": 2.0})


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _four_dimensional()
    yield from _three_dimensional()
    yield from _caches()
    yield from _rotary()


def _four_dimensional() -> Iterator[Case]:
    q, k, v = f32(2, 4, 3, 8), f32(2, 4, 5, 8), f32(2, 4, 5, 6)
    variants: tuple[dict[str, Any], ...] = (
        {},
        {"scale": 0.3},
        {"is_causal": 1},
        {"softcap": 2.0},
        {"is_causal": 1, "softcap": 1.5, "scale": 0.2},
    )
    masks = (None, f32(3, 5), f32(2, 1, 3, 5), f32(2, 4, 3, 5), np.tril(np.ones((3, 5), bool)), of("bool", 2, 1, 3, 5))
    for attributes, mask in product(variants, masks):
        yield from across("Attention", [q, k, v] if mask is None else [q, k, v, mask], attributes)
    grouped = [q, f32(2, 2, 5, 8), f32(2, 2, 5, 6)]
    for attributes in variants[:4]:
        yield from across("Attention", grouped, attributes)
    for mode, attributes in product((0, 1, 2, 3), variants[:1] + variants[2:4]):
        mode_of = {"qk_matmul_output_mode": mode, **attributes}
        yield from across("Attention", [q, k, v, f32(3, 5)], mode_of, outputs=("y0", "", "", "y3"))


def _three_dimensional() -> Iterator[Case]:
    for heads, variant in product(((4, 4), (4, 2), (4, 1)), _VARIANTS):
        attributes: dict[str, Any] = {"q_num_heads": heads[0], "kv_num_heads": heads[1], **variant}
        yield from across("Attention", [f32(2, 3, 32), f32(2, 5, 8 * heads[1]), f32(2, 5, 6 * heads[1])], attributes)
        masked = [f32(2, 3, 32), f32(2, 5, 8 * heads[1]), f32(2, 5, 6 * heads[1]), f32(3, 5)]
        yield from across("Attention", masked, attributes)


def _caches() -> Iterator[Case]:
    q, k, v = f32(2, 4, 3, 8), f32(2, 4, 3, 8), f32(2, 4, 3, 6)
    past = [f32(2, 4, 2, 8), f32(2, 4, 2, 6)]
    for attributes, mask in product(_CACHED, (None, f32(3, 5), of("bool", 3, 5))):
        yield from across("Attention", [q, k, v, mask, *past], attributes, outputs=("y0", "y1", "y2"))
    turned = {"q_num_heads": 4, "kv_num_heads": 4}
    yield from across(
        "Attention", [f32(2, 3, 32), f32(2, 3, 32), f32(2, 3, 24), None, *past], turned, outputs=("y0", "y1", "y2")
    )
    yield from across(
        "Attention", [q, k, v, None, *past], {"qk_matmul_output_mode": 1}, outputs=("y0", "y1", "y2", "y3")
    )


def _rotary() -> Iterator[Case]:
    places = np.asarray([[0, 1, 2], [4, 5, 3]], np.int64)
    for interleaved, partial in product((0, 1), (0, 4)):
        half = (partial or 8) // 2
        attributes = {"interleaved": interleaved} | ({"rotary_embedding_dim": partial} if partial else {})
        cache, whole = f32(6, half), f32(2, 3, half)
        yield from across("RotaryEmbedding", [f32(2, 4, 3, 8), cache, f32(6, half, kind="unit"), places], attributes)
        yield from across("RotaryEmbedding", [f32(2, 4, 3, 8), whole, f32(2, 3, half, kind="unit")], attributes)
        flat = {**attributes, "num_heads": 4}
        yield from across("RotaryEmbedding", [f32(2, 3, 32), cache, f32(6, half, kind="unit"), places], flat)
        yield from across("RotaryEmbedding", [f32(2, 3, 32), whole, f32(2, 3, half, kind="unit")], flat)
