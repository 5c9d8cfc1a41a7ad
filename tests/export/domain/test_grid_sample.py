"""GridSample is torch.nn.functional.grid_sample of images, for every mode, padding and corner rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attnexport.export.domain import grid_sample

MODES = ["bilinear", "nearest", "bicubic"]
PADDINGS = ["zeros", "border", "reflection"]


def torch_sample(x: np.ndarray, grid: np.ndarray, mode: str, padding_mode: str, align_corners: int) -> np.ndarray:
    return F.grid_sample(torch.from_numpy(x), torch.from_numpy(grid), mode, padding_mode, bool(align_corners)).numpy()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding_mode", PADDINGS)
@pytest.mark.parametrize("align_corners", [0, 1])
class TestAllRules:
    def test_reference_is_torch(self, mode, padding_mode, align_corners) -> None:
        rng = np.random.default_rng(0)
        attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
        for space in ((5, 7), (1, 4), (3, 1)):
            x, grid = rng.standard_normal((2, 3, *space)), 1.5 * rng.standard_normal((2, 6, 5, 2))
            y = grid_sample.reference(x, grid, **attrs)
            np.testing.assert_allclose(y, torch_sample(x, grid, **attrs), rtol=0, atol=1e-12)

    def test_ties_and_far_coordinates(self, mode, padding_mode, align_corners) -> None:
        x = np.random.default_rng(0).standard_normal((1, 2, 4, 6))
        ties = np.arange(-32, 33) / 16  # exact in binary: pixel centres, the middles between them, inside and outside
        far = np.array([-1e6, -1e4 - 0.3, 1e5 + 0.7, 1e30, -1e30 if padding_mode != "reflection" else -1e3])
        line = np.concatenate([ties, far if padding_mode != "reflection" else far[[0, 1, 2, 4]]])
        grid = np.stack(np.meshgrid(line, line), axis=-1)[None]
        attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
        y = grid_sample.reference(x, grid, **attrs)
        np.testing.assert_allclose(y, torch_sample(x, grid, **attrs), rtol=0, atol=1e-9)

    def test_nan_and_infinity(self, mode, padding_mode, align_corners) -> None:
        x = np.arange(1.0, 25).reshape(1, 1, 4, 6)
        values = [np.nan] if padding_mode == "reflection" else [np.nan, np.inf, -np.inf]
        grid = np.array([[[[value, 0.1] for value in values] + [[0.1, value] for value in values]]])
        attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
        y = grid_sample.reference(x, grid, **attrs)
        np.testing.assert_allclose(y, torch_sample(x, grid, **attrs), rtol=0, atol=1e-12)

    def test_body_is_the_reference(self, mode, padding_mode, align_corners, run_body) -> None:
        rng = np.random.default_rng(1)
        x = rng.standard_normal((2, 3, 5, 7)).astype(np.float32)
        grid = (1.5 * rng.standard_normal((2, 6, 5, 2))).astype(np.float32)
        attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
        y = run_body("GridSample", {"x": x, "grid": grid}, attrs, 4)
        expected = grid_sample.reference(x.astype(np.float64), grid.astype(np.float64), **attrs)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


def test_inference(inferred_shape) -> None:
    attrs = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": 0}
    shapes = {"x": ["n", 3, "h", "w"], "grid": ["n", 5, "p", 2]}
    assert inferred_shape("GridSample", shapes, attrs) == ["n", 3, 5, "p"]
