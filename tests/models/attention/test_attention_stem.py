"""The attention stem against section 3.2.2 and appendix A of Ramachandran 2019 in NumPy FP64, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from attnexport.models.attention.attention_stem import AttentionStem


def softmax(x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(x - x.max())
    return exponentials / exponentials.sum()


def reference(x: np.ndarray, module: AttentionStem) -> np.ndarray:
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}
    block, heads, mixtures = module.block, module.heads, module.mixtures
    out_channels = p["query.weight"].shape[0]
    d = out_channels // heads
    n, _, height, width = x.shape
    out = np.zeros((n, out_channels, height, width))

    def value(b: int, a: int, c: int) -> np.ndarray:
        embedding = p["rows"][a % block] + p["columns"][c % block]
        shares = softmax(np.array([embedding @ p["mixture"][m] for m in range(mixtures)]))
        weights = [p["value.weight"][m * out_channels : (m + 1) * out_channels, :, 0, 0] for m in range(mixtures)]
        return sum(share * weight for share, weight in zip(shares, weights, strict=True)) @ x[b, :, a, c]

    for b in range(n):
        for i in range(height):
            for j in range(width):
                top, left = i - i % block, j - j % block
                places = [(a, c) for a in range(top, top + block) for c in range(left, left + block)]
                query = p["query.weight"][:, :, 0, 0] @ x[b, :, i, j]
                for head in range(heads):
                    own = slice(head * d, (head + 1) * d)
                    keys = [(p["key.weight"][:, :, 0, 0] @ x[b, :, a, c])[own] for a, c in places]
                    weights = softmax(np.array([query[own] @ key for key in keys]))
                    out[b, own, i, j] = sum(w * value(b, a, c)[own] for w, (a, c) in zip(weights, places, strict=True))
    return out


@pytest.mark.parametrize(
    ("shape", "out_channels", "options"),
    [
        ((2, 3, 4, 8), 8, {"heads": 2, "mixtures": 3}),
        ((1, 3, 6, 4), 6, {"block": 2, "heads": 3, "mixtures": 2}),
        ((1, 2, 3, 3), 4, {"block": 3, "heads": 1, "mixtures": 1}),
        ((1, 3, 2, 2), 4, {"block": 1}),
    ],
)
def test_follows_the_formula(shape, out_channels, options, randomised, draw):
    module = randomised(AttentionStem(shape[1], out_channels, **options))
    x = draw(*shape)
    np.testing.assert_allclose(module(x).detach().numpy(), reference(x.numpy(), module), rtol=0, atol=1e-10)


def test_one_mixture_is_attention_in_blocks(randomised, draw):
    module = randomised(AttentionStem(3, 8, heads=2, mixtures=1))
    x = draw(2, 3, 4, 4)

    def tokens(t: Tensor) -> Tensor:
        return t.flatten(2).unflatten(1, (2, 4)).transpose(2, 3)

    attended = F.scaled_dot_product_attention(
        tokens(module.query(x)), tokens(module.key(x)), tokens(module.value(x)), scale=1.0
    )
    expected = attended.transpose(2, 3).reshape(2, 8, 4, 4)
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)


def test_the_shares_of_a_place_sum_to_one(randomised):
    shares = randomised(AttentionStem(3, 8)).shares()
    assert shares.shape == (4, 16)
    torch.testing.assert_close(shares.sum(0), torch.ones(16, dtype=torch.float64))


def test_gradients(randomised, draw, gradcheck):
    module = randomised(AttentionStem(2, 4, block=2, heads=2, mixtures=2))
    assert gradcheck(module, draw(2, 2, 2, 4))


def test_exports_with_a_free_batch_axis(randomised, draw, exported):
    module = randomised(AttentionStem(3, 8))
    program = exported(module, draw(3, 3, 8, 4))
    for batch in (1, 3, 16):
        x = draw(batch, 3, 8, 4)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "3 heads do not divide 8 output channels"),
        ({"heads": 0}, "0 heads do not divide 8 output channels"),
        ({"mixtures": 0}, "0 mixtures over blocks of 4 pixels leave nothing to mix"),
        ({"block": 0}, "4 mixtures over blocks of 0 pixels leave nothing to mix"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionStem(3, 8, **options)
