"""LocalOutlook is unfold, a mixture of the window for each place, and fold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attnexport.export.domain import local_outlook


def draw(geometry) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(8)
    weights = random.standard_normal((2, 4, geometry.places, geometry.places, *geometry.positions))
    return weights, random.standard_normal((2, 4, 3, *geometry.space))


def adjoint(geometry, mixed: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """The fold as what it is: the transpose of taking windows, by torch's own derivative."""
    x = torch.zeros(shape, dtype=mixed.dtype, requires_grad=True)
    (y,) = torch.autograd.grad(geometry.windows(x), x, mixed)
    return y


def test_reference_and_body_are_torchs(geometry, run_body) -> None:
    weights, value = draw(geometry)
    mixed = torch.einsum(
        "nhot...,nhdt...->nhdo...", torch.from_numpy(weights), geometry.windows(torch.from_numpy(value))
    )
    expected = adjoint(geometry, mixed, value.shape).numpy()
    got = local_outlook.reference(weights, value, **geometry.attrs)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    inputs = {"weights": weights.astype(np.float32), "value": value.astype(np.float32)}
    body = run_body("LocalOutlook", inputs, geometry.attrs, expected.ndim)
    assert body.shape == expected.shape
    np.testing.assert_allclose(body, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_reference_is_volos(stride) -> None:
    random = torch.Generator().manual_seed(0)
    value = torch.randn(2, 6, 7, 8, generator=random, dtype=torch.float64)
    windows = F.unfold(value, 3, padding=1, stride=stride).view(2, 2, 3, 9, -1).permute(0, 1, 4, 3, 2)
    weights = torch.randn(2, 2, windows.shape[2], 9, 9, generator=random, dtype=torch.float64)
    columns = (weights @ windows).permute(0, 1, 4, 3, 2).reshape(2, 54, -1)
    expected = F.fold(columns, (7, 8), 3, padding=1, stride=stride).view(2, 2, 3, 7, 8)
    by_place = weights.permute(0, 1, 3, 4, 2).reshape(2, 2, 9, 9, -(-7 // stride), -(-8 // stride))
    got = local_outlook.reference(
        by_place.numpy(),
        value.view(2, 2, 3, 7, 8).numpy(),
        kernel=[3, 3],
        dilation=[1, 1],
        pads=[1] * 4,
        stride=[stride] * 2,
    )
    np.testing.assert_allclose(got, expected.numpy(), rtol=0, atol=1e-12)


def test_weights_that_do_not_fit_are_refused(geometry) -> None:
    weights, value = draw(geometry)
    with pytest.raises(ValueError, match=f"weights do not fit {geometry.places} places"):
        local_outlook.reference(weights[:, :, 1:], value, **geometry.attrs)
    with pytest.raises(ValueError, match="the weights have the positions"):
        local_outlook.reference(weights[..., :1], value, **geometry.attrs)


def test_inference(geometry, inferred_shape) -> None:
    weights = [2, 4, geometry.places, geometry.places, *geometry.positions]
    value = ["n", 4, 3, *(f"s{axis}" for axis in geometry.space)]
    shapes = {"weights": weights, "value": value}
    assert inferred_shape("LocalOutlook", shapes, geometry.attrs) == [2, *value[1:]]
