"""Single-head self-attention against torch's scaled_dot_product_attention, and equation 1 of Vaswani 2017 in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from attnexport.models.attention.self_attention import SelfAttention


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize(
    ("shape", "key_channels", "value_channels"),
    [((2, 5, 8), None, None), ((1, 7, 6), 4, 10), ((3, 1, 4), 1, 2)],
)
def test_is_torch_s_attention_of_the_projections(shape, key_channels, value_channels, scaled, bias, randomised, draw):
    module = SelfAttention(shape[2], key_channels=key_channels, value_channels=value_channels, bias=bias, scaled=scaled)
    randomised(module)
    x = draw(*shape)
    q, k, v = module.query(x), module.key(x), module.value(x)
    expected = F.scaled_dot_product_attention(q, k, v, scale=None if scaled else 1.0)
    assert module(x).shape == (*shape[:2], value_channels or shape[2])
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


def test_follows_the_formula(randomised, draw):
    module = randomised(SelfAttention(6, key_channels=4, value_channels=3))
    x = draw(2, 5, 6)
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}
    a = x.numpy()
    expected = np.zeros((2, 5, 3))
    for n in range(2):
        for i in range(5):
            q = p["query.weight"] @ a[n, i]
            scores = [q @ (p["key.weight"] @ a[n, j]) / math.sqrt(4) for j in range(5)]
            total = sum(math.exp(score) for score in scores)
            for j in range(5):
                expected[n, i] += math.exp(scores[j]) / total * (p["value.weight"] @ a[n, j])
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=0, atol=1e-10)


def test_the_weights_are_what_the_values_are_mixed_by(randomised, draw):
    module = randomised(SelfAttention(6))
    x = draw(2, 5, 6)
    weights = module.weights(x)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 5, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(weights @ module.value(x), module(x), rtol=0, atol=1e-12)


def test_gradients(randomised, draw, gradcheck):
    assert gradcheck(randomised(SelfAttention(4, key_channels=2, bias=True)), draw(2, 3, 4))


def test_exports_with_a_free_batch_axis(randomised, draw, exported):
    module = randomised(SelfAttention(6))
    program = exported(module, draw(3, 5, 6))
    for batch in (1, 3, 16):
        x = draw(batch, 5, 6)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"key_channels": 0}, "0 key channels are fewer than 1"), ({"value_channels": -2}, "-2 value channels are fewer")],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        SelfAttention(8, **options)
