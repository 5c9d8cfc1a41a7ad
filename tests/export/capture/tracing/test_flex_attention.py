"""FlexAttention: masks and scores as functions, exported with a free length, compared with PyTorch's own operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import flex_attention as flex
from torch.nn.attention.flex_attention import and_masks, create_block_mask, flex_attention, or_masks

from attnexport.errors import UnsupportedModelError
from attnexport.export.progress import Silent
from attnexport.export.reference.torch_model import TorchOriginal
from attnexport.export.source import CapturedModel
from attnexport.export.source.torch_source import module_source
from attnexport.export.stages.rewrite import Plan, find_windows, lower_for
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

HEADS, WIDTH, MOST = 2, 4, 40
SLOPES = torch.tensor([0.5, 0.25])
DOCUMENT = torch.arange(MOST) // 7
TABLE = torch.linspace(-1, 1, HEADS * (2 * MOST - 1)).sin().view(HEADS, -1)
KEEP = torch.arange(MOST) % 5 != 2


def causal(b: Any, h: Any, q: Any, k: Any) -> Any:
    return q >= k


def window(b: Any, h: Any, q: Any, k: Any) -> Any:
    return (q - k).abs() <= 3


def document(b: Any, h: Any, q: Any, k: Any) -> Any:
    return DOCUMENT[q] == DOCUMENT[k]


def grid(b: Any, h: Any, q: Any, k: Any) -> Any:
    """A neighbourhood of 3 x 3 in rows of 6."""
    return ((q // 6 - k // 6).abs() <= 1) & ((q % 6 - k % 6).abs() <= 1)


MASKS: dict[str, Any] = {
    "causal": causal,
    "a window": window,
    "a causal window": and_masks(causal, window),
    "a prefix": or_masks(causal, lambda b, h, q, k: k < 5),
    "documents": document,
    "causal documents": and_masks(causal, document),
    "a neighbourhood of an image": grid,
    "a window for each head": lambda b, h, q, k: (q - k).abs() <= h + 1,
    "by batch": lambda b, h, q, k: q - k <= 4 * b,
    "padding": lambda b, h, q, k: KEEP[k],
    "every other key": lambda b, h, q, k: (q - k) % 2 == 0,
    "queries without keys": lambda b, h, q, k: q > k,
    "sinks": lambda b, h, q, k: (k < 2) | ((q >= k) & (q - k < 6)),
}
SCORES: dict[str, Any] = {
    "alibi": lambda s, b, h, q, k: s + (k - q) * SLOPES[h],
    "soft cap": lambda s, b, h, q, k: 5 * torch.tanh(s / 5),
    "relative table": lambda s, b, h, q, k: s + TABLE[h, q - k + MOST - 1],
    "distance": lambda s, b, h, q, k: s - (q - k).abs() * 0.1,
    "causal as a score": lambda s, b, h, q, k: torch.where(q >= k, s, -float("inf")),
    "temperature by position": lambda s, b, h, q, k: s / (1 + q * 0.1),
    "bias by head": lambda s, b, h, q, k: s * (1 + h) + b,
    "nothing": lambda s, b, h, q, k: s,
}
Call = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Any]


def mask_of(function: Any, x: torch.Tensor) -> Any:
    return create_block_mask(function, x.shape[0], HEADS, x.shape[2], x.shape[2], device="cpu")


CALLS: dict[str, dict[str, Call]] = {
    "masks": {n: lambda q, k, v, f=f: flex_attention(q, k, v, block_mask=mask_of(f, q)) for n, f in MASKS.items()},
    "scores": {n: lambda q, k, v, f=f: flex_attention(q, k, v, score_mod=f) for n, f in SCORES.items()},
    "options": {
        "plain": lambda q, k, v: flex_attention(q, k, v),
        "scale": lambda q, k, v: flex_attention(q, k, v, scale=0.3),
        "both": lambda q, k, v: flex_attention(
            q, k, v, score_mod=SCORES["alibi"], block_mask=mask_of(MASKS["sinks"], q), scale=0.3
        ),
        "grouped": lambda q, k, v: flex_attention(q, k[:, :1], v[:, :1], enable_gqa=True),
        "sums": lambda q, k, v: flex_attention(q, k, v, return_lse=True)[1],
        "sums of a score": lambda q, k, v: flex_attention(q, k, v, score_mod=SCORES["alibi"], return_lse=True)[1],
        "values of another width": lambda q, k, v: flex_attention(q, k, torch.cat((v, v), -1)),
        "through the module": lambda q, k, v: flex.flex_attention(q, k, v, score_mod=SCORES["soft cap"]),
    },
}  # fmt: skip


class All(torch.nn.Module):
    def __init__(self, calls: dict[str, Call]) -> None:
        super().__init__()
        self.calls = list(calls.values())

    def forward(self, x: torch.Tensor) -> tuple[Any, ...]:
        query, key, value = x.unflatten(-1, (3, HEADS, WIDTH)).permute(2, 0, 3, 1, 4).unbind(0)
        return tuple(call(query, key, value) for call in self.calls)


def lowered(module: torch.nn.Module, *, free: bool = True) -> tuple[CapturedModel, OrtSession]:
    """The captured model, and a session on its graph of standard operators."""
    length = Axis(3, 12, 30, "n") if free else Axis.fixed(12)
    spec = TensorSpec("x", "float32", (Axis(1, 2, 4, "batch"), length, Axis.fixed(3 * HEADS * WIDTH)))
    found = module_source(module.eval(), kind="module", name="net", inputs=(spec,)).capture((), 0)
    windows = find_windows(found.captured.model)
    result, _ = lower_for(windows, Plan.of(None, None, "fp32"), found.inputs, False, Silent())
    return found, OrtSession(result.model.SerializeToString())


@pytest.mark.parametrize("group", CALLS)
def test_the_graph_gives_what_flex_attention_gives(group: str) -> None:
    module = All(CALLS[group])
    found, session = lowered(module)
    assert found.captured.notes == ()
    x = torch.randn(3, 19, 3 * HEADS * WIDTH)
    with torch.no_grad():
        wanted = module(x)
    double = found.original.run({"x": x.numpy()}, "float64").values()
    for name, got, own, exact in zip(CALLS[group], session.run({"x": x.numpy()}).values(), wanted, double, strict=True):
        assert got.shape == own.shape, name
        np.testing.assert_allclose(got, own.numpy(), rtol=2e-5, atol=2e-5, err_msg=name)
        np.testing.assert_allclose(exact, own.numpy(), rtol=2e-5, atol=2e-5, err_msg=f"FP64, {name}")


def test_names_are_torchs_again_afterwards() -> None:
    lowered(All({"plain": CALLS["options"]["plain"]}))
    assert flex_attention is flex.flex_attention and flex_attention.__module__.startswith("torch.")
    assert create_block_mask is flex.create_block_mask and create_block_mask.__module__.startswith("torch.")


class Kept(torch.nn.Module):
    """A mask that was made once."""

    def __init__(self, mask: Any) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: torch.Tensor) -> Any:
        query, key, value = x.unflatten(-1, (3, HEADS, WIDTH)).permute(2, 0, 3, 1, 4).unbind(0)
        return flex_attention(query, key, value, block_mask=self.mask)


def test_a_mask_that_the_module_keeps_is_its_function() -> None:
    module = Kept(create_block_mask(causal, None, None, 12, 12, device="cpu", BLOCK_SIZE=4))
    _, session = lowered(module, free=False)
    x = torch.randn(2, 12, 3 * HEADS * WIDTH)
    with torch.no_grad():
        wanted = module(x).numpy()
    np.testing.assert_allclose(next(iter(session.run({"x": x.numpy()}).values())), wanted, rtol=1e-5, atol=1e-5)


def test_blocks_without_a_function_are_refused() -> None:
    blocks = flex.BlockMask.from_kv_blocks(
        torch.ones(1, 1, 3, dtype=torch.int32), torch.arange(3, dtype=torch.int32).view(1, 1, 3, 1).expand(1, 1, 3, 3),
        BLOCK_SIZE=4, seq_lengths=(12, 12),
    )  # fmt: skip
    with pytest.raises(UnsupportedModelError, match="made from blocks, without a mask_mod"):
        lowered(Kept(blocks), free=False)


@pytest.mark.parametrize("precision", ["float64", "float16", "bfloat16"])
def test_the_original_runs_at_every_precision(precision: Any) -> None:
    module = All({"sinks": CALLS["masks"]["sinks"]}).eval()
    x = np.random.default_rng(0).normal(size=(2, 9, 3 * HEADS * WIDTH)).astype(np.float32)
    (got,) = TorchOriginal(module, ["x"], ["y"]).run({"x": x}, precision).values()
    query, key, value = x.astype(np.float64).reshape(2, 9, 3, HEADS, WIDTH).transpose(2, 0, 3, 1, 4)
    places = np.arange(9)
    seen = (places < 2) | ((places[:, None] >= places) & (places[:, None] - places < 6))
    scores = np.where(seen, query @ key.swapaxes(-1, -2) / 2, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    wanted = weights / weights.sum(-1, keepdims=True) @ value
    np.testing.assert_allclose(got, wanted, atol={"float64": 1e-12, "float16": 5e-3, "bfloat16": 4e-2}[precision])
