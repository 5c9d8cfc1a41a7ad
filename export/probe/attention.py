"""What attention is made of: the fused operator over head sizes, types and masks; rotary positions; normalisations."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..targets.matrix import Fact
from .case import DTYPES, ProbeCase, normal, one_operator

HEAD_SIZES = (8, 16, 20, 32, 64, 128, 256, 512)


def cases() -> Iterator[ProbeCase]:
    """All of them, FP32 first."""
    for dtype in DTYPES:
        for size in HEAD_SIZES:
            yield _attention(dtype, head_size=size)
        for mask in ("bool", "float"):
            yield _attention(dtype, mask=mask)
        yield _attention(dtype, causal=1)
        yield _attention(dtype, groups=2)
        yield _attention(dtype, rank=3)
        yield _attention(dtype, keys=50)
        yield _attention(dtype, scale_attribute=1)
        yield _normalised("LayerNormalization", dtype, opset=18)
    for dtype in ("float32", "float16"):
        yield _normalised("RMSNormalization", dtype, opset=23)
        yield _rotary(dtype)
        yield one_operator("Softmax", {"x": normal(2, 3, 40)}, lambda x: x.softmax(-1), dtype=dtype, axis=-1)


def _attention(
    dtype: str, *, head_size: int = 64, mask: str = "none", causal: int = 0, groups: int = 1, rank: int = 4,
    keys: int = 32, scale_attribute: int = 0,
) -> ProbeCase:  # fmt: skip
    """Four heads of 32 queries. With ``scale_attribute`` the operator's own scale is 1, as a form with scaled inputs has it."""
    heads, rows = 4, 32
    shapes: list[tuple[int, ...]] = [(2, heads, rows, head_size), *[(2, heads // groups, keys, head_size)] * 2]
    if rank == 3:
        shapes = [(batch, length, count * size) for batch, count, length, size in shapes]
    inputs: dict[str, Any] = {
        name: normal(*shape, seed=ord(name)) / 2 for name, shape in zip("qkv", shapes, strict=True)
    }
    if mask != "none":
        hidden = np.random.default_rng(3).random((rows, keys)) < 0.3
        hidden[:, 0] = False
        inputs["mask"] = ~hidden if mask == "bool" else np.where(hidden, np.float32(-8), np.float32(0.5))
    scale = 1.0 if scale_attribute else None

    def expect(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if rank == 3:
            q, k, v = (x.unflatten(2, (heads, head_size)).transpose(1, 2) for x in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, bias, is_causal=bool(causal), scale=scale, enable_gqa=groups > 1)
        return y.transpose(1, 2).flatten(2) if rank == 3 else y

    facts: dict[str, Fact] = {
        "rank": rank, "head_size": head_size, "mask": mask, "causal": causal, "groups": groups, "keys": keys,
        "scale_attribute": scale_attribute,
    }  # fmt: skip
    attributes: dict[str, Any] = {"is_causal": causal}
    if rank == 3:
        attributes |= {"q_num_heads": heads, "kv_num_heads": heads // groups}
    if scale_attribute:
        attributes["scale"] = 1.0
    return one_operator("Attention", inputs, expect, dtype=dtype, opset=23, facts=facts, **attributes)


def _normalised(op: str, dtype: str, opset: int) -> ProbeCase:
    inputs = {"x": normal(2, 5, 24), "weight": normal(24, seed=1)}
    if op == "LayerNormalization":
        inputs["bias"] = normal(24, seed=2)

    def expect(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if bias is None:
            return F.rms_norm(x, (24,), weight, 1e-5)
        return F.layer_norm(x, (24,), weight, bias, 1e-5)

    return one_operator(op, inputs, expect, dtype=dtype, opset=opset, axis=-1, epsilon=1e-5)


def _rotary(dtype: str) -> ProbeCase:
    """Halves rotated, (batch, heads, length, size)."""
    angles = np.random.default_rng(4).uniform(0, 6, (2, 7, 8)).astype(np.float32)

    def expect(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, -1)
        cos, sin = cos[:, None], sin[:, None]
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)

    inputs = {"x": normal(2, 3, 7, 16), "cos": np.cos(angles), "sin": np.sin(angles)}
    return one_operator("RotaryEmbedding", inputs, expect, dtype=dtype, opset=23, facts={"rank": 4})
