"""Attention and rotary embeddings against PyTorch in FP64 and complex numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F


def double(array):
    return torch.from_numpy(array).double()


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", [None, "bool", "float"])
def test_attention_with_grouped_heads(evaluate, draw, causal, mask):
    q, k, v = draw(2, 4, 5, 8), draw(2, 2, 5, 8), draw(2, 2, 5, 6)
    bias = {None: None, "bool": draw(5, 5) > -1, "float": draw(5, 5)}[mask]
    (y,) = evaluate("Attention", q, k, v, bias, is_causal=causal, scale=0.5, opset=23)
    scores = double(q) @ double(k).repeat_interleave(2, 1).mT * 0.5
    if causal:
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    if mask == "bool":
        scores = scores.masked_fill(~torch.from_numpy(bias), -torch.inf)
    elif mask == "float":
        scores = scores + double(bias)
    weights = scores.softmax(-1).nan_to_num(0.0)
    np.testing.assert_allclose(y, (weights @ double(v).repeat_interleave(2, 1)).numpy(), rtol=1e-11, atol=1e-13)


def test_attention_on_three_axes_with_a_past(evaluate, draw):
    q, k, v, past_k, past_v = draw(2, 3, 16), draw(2, 3, 16), draw(2, 3, 16), draw(2, 2, 4, 8), draw(2, 2, 4, 8)
    y, all_k, all_v = evaluate(
        "Attention", q, k, v, None, past_k, past_v, q_num_heads=2, kv_num_heads=2, is_causal=1, outputs=3, opset=23
    )
    heads = [double(x).reshape(2, 3, 2, 8).transpose(1, 2) for x in (q, k, v)]
    keys, values = torch.cat([double(past_k), heads[1]], 2), torch.cat([double(past_v), heads[2]], 2)
    mask = torch.ones(3, 7).tril(4).bool()
    truth = F.scaled_dot_product_attention(heads[0], keys, values, mask).transpose(1, 2).reshape(2, 3, 16)
    np.testing.assert_allclose(y, truth.numpy(), rtol=1e-11)
    np.testing.assert_array_equal(all_k, keys.numpy())
    np.testing.assert_array_equal(all_v, values.numpy())


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("part", [0, 4])
def test_rotary_embedding_turns_complex_numbers(evaluate, draw, interleaved, part):
    x, angles = draw(2, 3, 5, 8), draw(10, 4)
    positions = np.array([[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])
    cos, sin = np.cos(angles), np.sin(angles)
    (y,) = evaluate(
        "RotaryEmbedding", x, cos, sin, positions, interleaved=interleaved, rotary_embedding_dim=part, opset=23
    )
    width = part or 8
    turn = (cos.astype("d") + 1j * sin.astype("d"))[positions][:, None, :, : width // 2]
    wide = x[..., :width].astype("d")
    pairs = (wide[..., 0::2], wide[..., 1::2]) if interleaved else np.split(wide, 2, -1)
    turned = (pairs[0] + 1j * pairs[1]) * turn
    truth = (
        np.stack([turned.real, turned.imag], -1).reshape(wide.shape)
        if interleaved
        else np.concatenate([turned.real, turned.imag], -1)
    )
    np.testing.assert_allclose(y, np.concatenate([truth, x[..., width:]], -1), rtol=1e-11, atol=1e-14)


def test_multi_head_attention(evaluate, draw):
    q, k, v, bias = draw(2, 5, 8), draw(2, 7, 8), draw(2, 7, 8), draw(24)
    (y,) = evaluate("MultiHeadAttention", q, k, v, bias, domain="com.microsoft", num_heads=2)
    parts = [double(x) + double(b) for x, b in zip((q, k, v), np.split(bias, 3), strict=True)]
    heads = [x.reshape(2, -1, 2, 4).transpose(1, 2) for x in parts]
    truth = F.scaled_dot_product_attention(*heads).transpose(1, 2).reshape(2, 5, 8)
    np.testing.assert_allclose(y, truth.numpy(), rtol=1e-11)
