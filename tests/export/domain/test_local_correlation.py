"""LocalCorrelation is a product (or difference) of the query with the unfolded keys, summed over channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.export.domain import local_correlation

COMPOSE = {
    "product": lambda q, k: q * k,
    "squared_difference": lambda q, k: (q - k) ** 2,
    "absolute_difference": lambda q, k: (q - k).abs(),
}


def draw(geometry, heads_of_relative: int) -> list[np.ndarray | None]:
    random = np.random.default_rng(7)
    query = random.standard_normal((2, 4, 3, *geometry.positions))
    key = random.standard_normal((2, 4, 3, *geometry.space))
    relative = random.standard_normal((heads_of_relative, 3, geometry.places)) if heads_of_relative else None
    return [query, key, relative]


def oracle(geometry, compose: str, query, key, relative) -> np.ndarray:
    keys = geometry.windows(torch.from_numpy(key))
    if relative is not None:
        keys = keys + torch.from_numpy(relative).reshape(*relative.shape, *[1] * len(geometry.space))
    return COMPOSE[compose](torch.from_numpy(query).unsqueeze(3), keys).sum(2).numpy()


@pytest.mark.parametrize("compose", COMPOSE)
@pytest.mark.parametrize("heads_of_relative", [0, 1, 4])
def test_reference_and_body_are_torchs(geometry, compose, heads_of_relative, run_body) -> None:
    values = draw(geometry, heads_of_relative)
    expected = oracle(geometry, compose, *values)
    got = local_correlation.reference(*values, compose=compose, **geometry.attrs)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    names = ("query", "key", "relative")
    inputs = {n: None if v is None else v.astype(np.float32) for n, v in zip(names, values, strict=True)}
    body = run_body("LocalCorrelation", inputs, {**geometry.attrs, "compose": compose}, expected.ndim)
    assert body.shape == expected.shape
    np.testing.assert_allclose(body, expected, rtol=0, atol=1e-4)


def test_the_product_is_the_default(geometry, run_body) -> None:
    query, key, _ = draw(geometry, 0)
    expected = oracle(geometry, "product", query, key, None)
    np.testing.assert_allclose(local_correlation.reference(query, key, **geometry.attrs), expected, rtol=0, atol=1e-12)
    inputs = {"query": query.astype(np.float32), "key": key.astype(np.float32)}
    body = run_body("LocalCorrelation", inputs, geometry.attrs, expected.ndim)
    np.testing.assert_allclose(body, expected, rtol=0, atol=1e-4)


def test_what_does_not_fit_is_refused(geometry) -> None:
    query, key, _ = draw(geometry, 0)
    with pytest.raises(ValueError, match="the query has the positions"):
        local_correlation.reference(query[..., :-1], key, **geometry.attrs)
    with pytest.raises(ValueError, match="compose 'cosine' is not one of product, squared"):
        local_correlation.reference(query, key, compose="cosine", **geometry.attrs)


def test_inference(geometry, inferred_shape) -> None:
    query, key = [2, 4, 3, *geometry.positions], [2, 4, 3, *geometry.space]
    scores = [2, 4, geometry.places, *geometry.positions]
    free = [f"q{axis}" for axis in geometry.positions]
    assert inferred_shape("LocalCorrelation", {"query": query, "key": key}, geometry.attrs) == scores
    assert inferred_shape("LocalCorrelation", {"query": ["n", 4, 3, *free], "key": key}, geometry.attrs) == [
        "n", *scores[1:],
    ]  # fmt: skip
    space = ["s" for _ in geometry.space]
    inferred = inferred_shape(
        "LocalCorrelation", {"query": ["n", 4, 3, *free], "key": ["n", 4, 3, *space]}, geometry.attrs
    )
    assert inferred == ["n", 4, geometry.places, *free]
