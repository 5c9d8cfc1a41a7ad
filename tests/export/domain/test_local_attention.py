"""LocalAttention is softmax(scale * correlation + bias) over the window, then the weighted values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.export.domain import local_attention

COMPOSE = {
    "product": lambda q, k: q * k,
    "squared_difference": lambda q, k: (q - k) ** 2,
    "absolute_difference": lambda q, k: (q - k).abs(),
}
OPTIONS = {
    "plain": ("product", 1.0, None, 0),
    "scale": ("product", 0.25, None, 0),
    "bias per head": ("product", 0.5, (1, 4, None, 1), 0),
    "bias per position": ("product", 1.0, (2, 1, None, 0), 0),
    "relative": ("product", 1.0, None, 4),
    "bias and relative": ("product", 2.0, (1, 1, None, 0), 1),
    "squared": ("squared_difference", -1.0, (1, 4, None, 1), 0),
    "absolute": ("absolute_difference", -1.0, None, 1),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_reference_and_body_are_torchs(geometry, option, run_body) -> None:
    compose, scale, bias_shape, heads_of_relative = OPTIONS[option]
    random = np.random.default_rng(9)
    n = len(geometry.space)
    query = random.standard_normal((2, 4, 3, *geometry.positions))
    key = random.standard_normal((2, 4, 3, *geometry.space))
    value = random.standard_normal((2, 4, 5, *geometry.space))
    bias = relative = None
    if bias_shape is not None:
        batch, heads, _, one = bias_shape
        space = [1] * n if one else geometry.positions
        bias = random.standard_normal((batch, heads, geometry.places, *space))
        bias[:, :, 0] = -np.inf  # a masked place
    if heads_of_relative:
        relative = random.standard_normal((heads_of_relative, 3, geometry.places))

    keys, values = (geometry.windows(torch.from_numpy(x)) for x in (key, value))
    if relative is not None:
        keys = keys + torch.from_numpy(relative).reshape(*relative.shape, *[1] * n)
    scores = scale * COMPOSE[compose](torch.from_numpy(query).unsqueeze(3), keys).sum(2)
    scores = scores if bias is None else scores + torch.from_numpy(bias)
    expected = (scores.softmax(2).unsqueeze(2) * values).sum(3).numpy()

    attrs = {**geometry.attrs, "compose": compose, "scale": scale}
    got = local_attention.reference(query, key, value, bias, relative, **attrs)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    inputs = {"query": query, "key": key, "value": value, "bias": bias, "relative": relative}
    narrow = {name: None if x is None else x.astype(np.float32) for name, x in inputs.items()}
    body = run_body("LocalAttention", narrow, attrs, expected.ndim)
    assert body.shape == expected.shape
    np.testing.assert_allclose(body, expected, rtol=0, atol=1e-4)


def test_inference(geometry, inferred_shape) -> None:
    free = [f"q{axis}" for axis in geometry.positions]
    space = ["s" for _ in free]
    shapes = {"query": ["n", 4, 3, *free], "key": ["n", 4, 3, *space], "value": ["n", 4, 5, *space]}
    assert inferred_shape("LocalAttention", shapes, geometry.attrs) == ["n", 4, 5, *free]
