"""Every form of grid_sample at the coordinates where forms differ, held to F.grid_sample itself.

The full grid of mode x padding x corner rule x rank, each with every pair (triple) of edge coordinates: on pixel
centres, in the middle between two, exactly on the image's border and on the outer half pixel, just outside, far
outside, NaN and both infinities. Sizes are powers of two, so that FP32 holds every pixel coordinate exactly and a tie is
a tie in FP32 and in FP64.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attnexport.errors import UnsupportedModelError
from attnexport.export.precision import convert

PLANES = [(4, 8), (8, 1), (1, 1)]
PADDINGS = ["zeros", "border", "reflection"]
RULES = list(product(PADDINGS, [0, 1]))
PLANAR = [(form, mode) for form in ("native", "gather") for mode in ("bilinear", "nearest", "bicubic")]
REFUSED = {("nearest", "reflection", 0): PLANES, ("nearest", "zeros", 1): PLANES[1:]}
"""Where the standard operator differs, and is therefore not used."""

NEAR = [-2.5, -1.25, -1.125, -1.0, -0.9375, -0.5, -0.25, 0.0, 0.125, 0.75, 0.875, 1.0, 1.0625, 1.25, 3.0]
FAR = [-1e6, -4097.0, 1000.5, 65536.0]
OVERFLOWING = [-1e30, -3e10, 1e10, 1e30]
UNDEFINED = [np.nan, np.inf, -np.inf]


def coordinates(padding: str, axes: int) -> np.ndarray:
    """(points, axes) float32: every pair of edge coordinates; for volumes every triple of fewer of them."""
    near = NEAR if axes == 2 else NEAR[1::3]
    # Reflected positions beyond the reach of ATen's integers are not specified, not even by its own two kernels.
    line = [*near, *FAR, *UNDEFINED, *([] if padding == "reflection" else OVERFLOWING)]
    return np.stack(np.meshgrid(*[np.array(line, np.float32)] * axes, indexing="ij"), axis=-1).reshape(-1, axes)


def given(padding: str, space: tuple[int, ...], channels: int) -> dict[str, np.ndarray]:
    points = coordinates(padding, len(space))
    x = np.random.default_rng(0).standard_normal((2, channels, *space)).astype(np.float32)
    grid = np.stack([points, points[::-1]]).reshape(2, *[1] * (len(space) - 1), -1, len(space))
    return {"x": x, "grid": np.ascontiguousarray(grid)}


def truth(inputs: dict[str, np.ndarray], mode: str, padding: str, align: int) -> np.ndarray:
    x, grid = (torch.from_numpy(inputs[name].astype(np.float64)) for name in ("x", "grid"))
    return F.grid_sample(x, grid, mode, padding, bool(align)).numpy()


@pytest.mark.pairwise
@pytest.mark.parametrize(("padding", "align"), RULES)
@pytest.mark.parametrize(("form", "mode"), PLANAR)
@pytest.mark.parametrize("channels", [2, 64], ids=["few channels", "many channels"])
def test_images(form, mode, padding, align, channels, lowered) -> None:
    attrs = {"mode": mode, "padding_mode": padding, "align_corners": align}
    only = f"grid_sample_{form}"
    for space in PLANES if channels == 2 else PLANES[:1]:
        inputs = given(padding, space, channels)
        if form == "native" and space in REFUSED.get((mode, padding, align), []):
            with pytest.raises(UnsupportedModelError, match=r"rounds before it reflects|no position is outside"):
                lowered("GridSample", inputs, attrs, dynamic={"x0", "grid0"}, only=only)
            continue
        model = lowered("GridSample", inputs, attrs, dynamic={"x0", "grid0", "grid2"}, only=only)
        np.testing.assert_allclose(model.run(inputs), truth(inputs, mode, padding, align), rtol=0, atol=2e-4)


@pytest.mark.pairwise
@pytest.mark.parametrize(("padding", "align"), RULES)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("channels", [2, 64], ids=["few channels", "many channels"])
def test_volumes(mode, padding, align, channels, lowered) -> None:
    attrs = {"mode": mode, "padding_mode": padding, "align_corners": align}
    for space in ((2, 4, 8), (1, 4, 1)) if channels == 2 else ((2, 4, 8),):
        inputs = given(padding, space, channels)
        model = lowered("GridSample3d", inputs, attrs, dynamic={"x0", "grid0", "grid3"})
        np.testing.assert_allclose(model.run(inputs), truth(inputs, mode, padding, align), rtol=0, atol=2e-4)


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_edges_are_there(padding) -> None:
    planar, solid = coordinates(padding, 2), coordinates(padding, 3)
    for points, axes in ((planar, 2), (solid, 3)):
        for axis in range(axes):
            assert np.isnan(points[:, axis]).any() and np.isposinf(points[:, axis]).any()
            assert {-1.125, 1.0, -1e6} <= set(points[:, axis].tolist()) or axes == 3
    assert len(planar) == (22 if padding == "reflection" else 26) ** 2


@pytest.mark.parametrize("form", ["native", "gather"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_an_fp16_model_keeps_its_coordinates_in_fp32(form, padding, lowered) -> None:
    """The FP16 model of a wide image, at positions between two pixels and at one that FP16 does not hold."""
    x = np.zeros((1, 1, 2, 1024), np.float32)
    x[..., ::2] = 1
    line = np.linspace(-1, 1, 97, dtype=np.float32)
    grid = np.stack([line, np.zeros_like(line)], axis=-1).reshape(1, 1, -1, 2)
    if padding != "reflection":  # which would fold it by FP32's own rounding
        grid[0, 0, -1, 0] = 1e6
    attrs = {"mode": "bilinear", "padding_mode": padding, "align_corners": 0}
    model = lowered("GridSample", {"x": x, "grid": grid}, attrs, dynamic={"x0", "grid0"}, only=f"grid_sample_{form}")
    half = replace(model, model=convert(model.model).model)
    expected = truth({"x": x, "grid": grid}, "bilinear", padding, 0)
    np.testing.assert_allclose(half.run({"x": x, "grid": grid}), expected, rtol=0, atol=2e-3)
