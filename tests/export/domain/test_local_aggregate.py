"""LocalAggregate is the unfolded values, weighted for each position and summed over the window."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.export.domain import local_aggregate


def draw(geometry) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(8)
    weights = random.standard_normal((2, 4, geometry.places, *geometry.positions))
    return weights, random.standard_normal((2, 4, 3, *geometry.space))


def test_reference_and_body_are_torchs(geometry, run_body) -> None:
    weights, value = draw(geometry)
    expected = (torch.from_numpy(weights).unsqueeze(2) * geometry.windows(torch.from_numpy(value))).sum(3).numpy()
    got = local_aggregate.reference(weights, value, **geometry.attrs)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    inputs = {"weights": weights.astype(np.float32), "value": value.astype(np.float32)}
    body = run_body("LocalAggregate", inputs, geometry.attrs, expected.ndim)
    assert body.shape == expected.shape
    np.testing.assert_allclose(body, expected, rtol=0, atol=1e-4)


def test_weights_that_do_not_fit_are_refused(geometry) -> None:
    weights, value = draw(geometry)
    with pytest.raises(ValueError, match=f"{geometry.places - 1} weights do not fit {geometry.places} places"):
        local_aggregate.reference(weights[:, :, 1:], value, **geometry.attrs)
    with pytest.raises(ValueError, match="the weights have the positions"):
        local_aggregate.reference(weights[..., :1], value, **geometry.attrs)


def test_inference(geometry, inferred_shape) -> None:
    weights, value = [2, 4, geometry.places, *geometry.positions], [2, 4, 3, *geometry.space]
    assert inferred_shape("LocalAggregate", {"weights": weights, "value": value}, geometry.attrs) == [
        2, 4, 3, *geometry.positions,
    ]  # fmt: skip
    free = [f"q{axis}" for axis in geometry.positions]
    shapes = {"weights": ["n", 4, geometry.places, *free], "value": ["n", 4, 3, *["s" for _ in free]]}
    assert inferred_shape("LocalAggregate", shapes, geometry.attrs) == ["n", 4, 3, *free]
