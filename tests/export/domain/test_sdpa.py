"""Sdpa is torch.nn.functional.scaled_dot_product_attention over ranks, masks, causal order, groups and scales."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attnexport.export.domain import sdpa

BATCHES = [(), (3,), (2, 4), (2, 3, 4)]
MASKS = {
    "none": None,
    "bool": lambda rng: rng.random((5, 7)) < 0.6,
    "bool of keys": lambda rng: rng.random((1, 7)) < 0.6,
    "float": lambda rng: rng.standard_normal((5, 7)),
    "float with -inf": lambda rng: np.where(rng.random((5, 7)) < 0.6, rng.standard_normal((5, 7)), -np.inf),
}


def draw(batch: tuple[int, ...], mask: str, groups: int = 1) -> dict[str, np.ndarray | None]:
    rng = np.random.default_rng(3)
    kv = (*batch[:-1], batch[-1] // groups) if groups > 1 else batch
    drawn = MASKS[mask](rng) if MASKS[mask] else None
    if drawn is not None and len(drawn) > 1:  # one row that sees nothing, where -inf is in play
        drawn[2] = False if drawn.dtype == bool else -np.inf if "inf" in mask else drawn[2]
    return {
        "query": rng.standard_normal((*batch, 5, 6)),
        "key": rng.standard_normal((*kv, 7, 6)),
        "value": rng.standard_normal((*kv, 7, 3)),
        "mask": drawn if drawn is not None and drawn.dtype != bool else None,
        "keep": drawn if drawn is not None and drawn.dtype == bool else None,
    }


def oracle(values: dict[str, np.ndarray | None], causal: int, groups: int, scale: float) -> np.ndarray:
    torches = {name: None if x is None else torch.from_numpy(x) for name, x in values.items()}
    mask = torches["mask"] if torches["keep"] is None else torches["keep"]
    if causal and mask is not None:  # torch takes one or the other
        lower = torch.ones(5, 7, dtype=torch.bool).tril()
        mask, causal = (mask & lower if mask.dtype == torch.bool else mask.masked_fill(~lower, -np.inf)), 0
    y = F.scaled_dot_product_attention(
        torches["query"], torches["key"], torches["value"], mask, is_causal=bool(causal), scale=scale, enable_gqa=groups > 1
    )  # fmt: skip
    return y.numpy()


def single(values: dict[str, np.ndarray | None]) -> dict[str, np.ndarray | None]:
    return {n: x.astype(np.float32) if x is not None and x.dtype == np.float64 else x for n, x in values.items()}


@pytest.mark.pairwise
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_reference_and_body_are_torchs(batch, mask, causal, run_body) -> None:
    values = draw(batch, mask)
    expected = oracle(values, causal, 1, 0.3)
    attrs = {"causal": causal, "groups": 1, "scale": 0.3}
    got = sdpa.reference(*values.values(), **attrs)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    body = run_body("Sdpa", single(values), attrs, expected.ndim)
    assert body.shape == expected.shape
    np.testing.assert_allclose(body, expected, rtol=0, atol=1e-6)


def test_a_row_without_a_key_is_zero() -> None:
    for mask in ("bool", "float with -inf"):
        values = draw((2, 4), mask)
        y = sdpa.reference(*values.values(), causal=0, groups=1, scale=1.0)
        assert not y[..., 2, :].any() and y[..., 1, :].any()
        np.testing.assert_array_equal(oracle(values, 0, 1, 1.0)[..., 2, :], 0)


@pytest.mark.parametrize("scale", [1.0, 0.25, -0.5, 0.0])
@pytest.mark.parametrize(("batch", "groups"), [((2, 4), 2), ((4,), 4), ((2, 3, 4), 2)])
def test_groups_and_scales(batch, groups, scale, run_body) -> None:
    values = draw(batch, "bool of keys", groups)
    expected = oracle(values, 0, groups, scale)
    attrs = {"causal": 0, "groups": groups, "scale": scale}
    np.testing.assert_allclose(sdpa.reference(*values.values(), **attrs), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run_body("Sdpa", single(values), attrs, expected.ndim), expected, rtol=0, atol=1e-6)


def test_batch_axes_broadcast(run_body) -> None:
    values = draw((2, 4), "none")
    values["key"], values["value"] = values["key"][:1], values["value"][:, :1]
    expected = oracle(values, 0, 1, 1.0)
    attrs = {"causal": 0, "groups": 1}
    np.testing.assert_allclose(sdpa.reference(*values.values(), **attrs), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(run_body("Sdpa", single(values), attrs, 4), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("query", "key", "value", "groups", "y"),
    [
        (["n", 8, "l", 16], ["n", 8, "s", 16], ["n", 8, "s", 4], 1, ["n", 8, "l", 4]),
        (["n", 8, "l", 16], ["n", 2, "s", 16], ["n", 2, "s", 16], 4, ["n", 8, "l", 16]),
        ([1, 8, 5, 16], ["n", 8, 7, 16], ["n", 8, 7, 16], 1, ["n", 8, 5, 16]),
        (["n", 8, 5, 16], ["m", 8, 7, 16], ["n", 8, 7, 16], 1, ["", 8, 5, 16]),
        (["l", 16], ["s", 16], ["s", 3], 1, ["l", 3]),
    ],
)
def test_inference(query, key, value, groups, y, inferred_shape) -> None:
    shapes = {"query": query, "key": key, "value": value}
    assert inferred_shape("Sdpa", shapes, {"causal": 0, "groups": groups}) == y
