"""Multi-head attention against torch.nn.MultiheadAttention; rows without any key, which that leaves undefined, in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attnexport.models.attention.multi_head import MultiHeadAttention
from attnexport.models.attention.relative_bias import RelativeBias1d, RelativeBias2d

PADDING = torch.tensor([[False, False, True, False, True], [False, True, True, True, True]])


def torch_s(module: MultiHeadAttention) -> nn.MultiheadAttention:
    """torch's module with the same weights."""
    channels = module.out.out_features
    theirs = nn.MultiheadAttention(
        channels,
        module.heads,
        bias=module.out.bias is not None,
        kdim=module.key.in_features,
        vdim=module.value.in_features,
        batch_first=True,
    ).double()
    projections = (module.query, module.key, module.value)
    with torch.no_grad():
        if theirs.in_proj_weight is not None:
            theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
        else:
            own = (theirs.q_proj_weight, theirs.k_proj_weight, theirs.v_proj_weight)
            for weight, projection in zip(own, projections, strict=True):
                weight.copy_(projection.weight)
        theirs.out_proj.weight.copy_(module.out.weight)
        if module.out.bias is not None:
            theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
            theirs.out_proj.bias.copy_(module.out.bias)
    return theirs.eval()


def assert_same(
    module: MultiHeadAttention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, **masks: Tensor
) -> None:
    """Output and weights are those of torch's module; ``mask`` is its attn_mask (heads folded into the batch)."""
    expected, weights = torch_s(module)(
        query, key, value, attn_mask=mask, key_padding_mask=masks.get("padding"), average_attn_weights=False
    )
    torch.testing.assert_close(module(query, key, value, **masks), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(module.weights(query, key, **masks), weights, rtol=0, atol=1e-10)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("channels", "heads", "batch", "length"), [(8, 2, 2, 5), (6, 1, 1, 3), (12, 12, 3, 1)])
def test_self_attention(channels, heads, batch, length, bias, randomised, draw):
    module = randomised(MultiHeadAttention(channels, heads, bias=bias))
    x = draw(batch, length, channels)
    assert_same(module, x, x, x)
    torch.testing.assert_close(module(x), module(x, x, x), rtol=0, atol=0)


def test_cross_attention_with_other_widths(randomised, draw):
    module = randomised(MultiHeadAttention(8, 2, key_channels=6, value_channels=10))
    assert_same(module, draw(2, 3, 8), draw(2, 5, 6), draw(2, 5, 10))


def test_the_key_is_the_value_where_none_is_given(randomised, draw):
    module = randomised(MultiHeadAttention(8, 2))
    query, key = draw(2, 3, 8), draw(2, 5, 8)
    assert torch.equal(module(query, key), module(query, key, key))


@pytest.mark.parametrize("length", [3, 5, 7])
def test_causal_order(length, randomised, draw):
    """Shorter and longer queries than keys: position s is seen from position l where s <= l."""
    module = randomised(MultiHeadAttention(8, 2, causal=True))
    query, key = draw(2, length, 8), draw(2, 5, 8)
    assert_same(module, query, key, key, mask=torch.ones(length, 5, dtype=torch.bool).triu(1))


def test_boolean_padding_hides_keys(randomised, draw):
    x = draw(2, 5, 8)
    assert_same(randomised(MultiHeadAttention(8, 2)), x, x, x, padding=PADDING)


def test_causal_order_and_padding_together(randomised, draw):
    x = draw(2, 5, 8)
    module = randomised(MultiHeadAttention(8, 2, causal=True))
    assert_same(module, x, x, x, mask=torch.ones(5, 5, dtype=torch.bool).triu(1), padding=PADDING)


@pytest.mark.parametrize("shape", [(5, 5), (2, 5, 5), (2, 1, 5, 5), (1, 2, 5, 5), (2, 2, 5, 5)])
def test_an_additive_mask_broadcasts(shape, randomised, draw):
    x = draw(2, 5, 8)
    bias = draw(*shape).masked_fill(draw(*shape) > 1.5, -math.inf)
    assert bias.isinf().any()
    folded = bias.expand(2, 2, 5, 5).flatten(0, 1)
    assert_same(randomised(MultiHeadAttention(8, 2)), x, x, x, mask=folded, bias=bias)


def test_every_mask_at_once(randomised, draw):
    module = randomised(MultiHeadAttention(8, 2, causal=True, relative=RelativeBias1d(2, 5)))
    x, bias = draw(2, 5, 8), draw(2, 1, 5, 5)
    total = bias + module.relative()
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    padded = PADDING[:, None, None, :].expand(2, 2, 5, 5)
    total = total.masked_fill(later, -math.inf).masked_fill(padded, -math.inf)
    torch.testing.assert_close(
        module(x, padding=PADDING, bias=bias), torch_s(module)(x, x, x, attn_mask=total.flatten(0, 1))[0],
        rtol=0, atol=1e-10,
    )  # fmt: skip


@pytest.mark.parametrize("relative", [RelativeBias1d(2, 6), RelativeBias2d(2, 2, 3)])
def test_a_relative_bias_is_added_to_the_scores(relative, randomised, draw):
    module = randomised(MultiHeadAttention(8, 2, relative=relative))
    x = draw(3, 6, 8)
    mask = relative().expand(3, 2, 6, 6).flatten(0, 1)
    expected, weights = torch_s(module)(x, x, x, attn_mask=mask, average_attn_weights=False)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(module.weights(x), weights, rtol=0, atol=1e-10)


def reference(x: np.ndarray, seen: np.ndarray, module: MultiHeadAttention) -> np.ndarray:
    """The formula in loops, self-attention; ``seen`` (N, L, S). A query that sees no key sums over none."""
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}
    n, length, channels = x.shape
    d = channels // module.heads
    q, k, v = (x @ p[f"{name}.weight"].T + p[f"{name}.bias"] for name in ("query", "key", "value"))
    out = np.zeros_like(x)
    for b in range(n):
        for i in range(length):
            keys = np.flatnonzero(seen[b, i])
            for h in range(module.heads):
                part = slice(h * d, (h + 1) * d)
                weights = [math.exp(q[b, i, part] @ k[b, j, part] / math.sqrt(d)) for j in keys]
                for weight, j in zip(weights, keys, strict=True):
                    out[b, i, part] += weight / sum(weights) * v[b, j, part]
    return out @ p["out.weight"].T + p["out.bias"]


@pytest.mark.parametrize("masks", ["padding", "bias", "padding and order", "padding and bias"])
def test_a_query_without_any_key_attends_to_nothing(masks, randomised, draw):
    module = randomised(MultiHeadAttention(8, 2, causal="order" in masks))
    x = draw(2, 5, 8)
    padding = torch.tensor([[True, True, False, False, True], [True] * 5])
    hidden = padding[:, None, :].expand(2, 5, 5)
    given = {"padding": padding} if "padding" in masks else {}
    if "bias" in masks:
        given["bias"] = torch.zeros(2, 1, 5, 5, dtype=torch.float64).masked_fill(hidden[:, None], -math.inf)
    seen = ~hidden.numpy()
    if module.causal:
        seen = np.tril(seen)
    assert (~seen.any(2)).sum() == (7 if module.causal else 5)
    y = module(x, **given)
    np.testing.assert_allclose(y.detach().numpy(), reference(x.numpy(), seen, module), rtol=0, atol=1e-10)
    torch.testing.assert_close(y[1, 0], module.out.bias, rtol=0, atol=1e-12)
    weights = module.weights(x, **given).detach().numpy()
    np.testing.assert_allclose(weights.sum(3), np.repeat(seen.any(2)[:, None], 2, axis=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients(causal, randomised, draw, gradcheck):
    module = MultiHeadAttention(4, 2, causal=causal, relative=RelativeBias1d(2, 3))
    assert gradcheck(randomised(module), draw(2, 3, 4))


def test_gradients_stay_finite_where_a_query_has_no_key(randomised, draw):
    x = draw(2, 5, 8).requires_grad_()
    randomised(MultiHeadAttention(8, 2))(x, padding=torch.tensor([[True] * 5, [False] * 5])).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    "options", [{}, {"causal": True}, {"relative": RelativeBias2d(2, 3, 2)}], ids=["plain", "causal", "relative"]
)
def test_exports_with_a_free_batch_axis(options, randomised, draw, exported):
    module = randomised(MultiHeadAttention(8, 2, **options))
    program = exported(module, draw(3, 6, 8))
    for batch in (1, 3, 16):
        x = draw(batch, 6, 8)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


def test_exports_with_free_batch_and_length_and_padding(randomised, draw):
    module = randomised(MultiHeadAttention(8, 2, causal=True))
    batch, length = torch.export.Dim("batch", min=1, max=16), torch.export.Dim("length", min=2, max=64)
    program = torch.export.export(
        module,
        (draw(3, 5, 8),),
        {"padding": torch.zeros(3, 5, dtype=torch.bool)},
        dynamic_shapes={"query": {0: batch, 1: length}, "padding": {0: batch, 1: length}},
        strict=False,
    ).module()
    for n, size in ((1, 2), (4, 9)):
        x = draw(n, size, 8)
        padding = draw(n, size) > 0.5
        torch.testing.assert_close(program(x, padding=padding), module(x, padding=padding), rtol=0, atol=1e-12)


@pytest.mark.parametrize("heads", [0, 3, 16])
def test_refuses_heads_that_do_not_divide_the_channels(heads):
    with pytest.raises(ValueError, match=f"{heads} heads do not divide 8 channels"):
        MultiHeadAttention(8, heads)
