"""GridSample3d is torch.nn.functional.grid_sample of volumes, for both modes and every padding and corner rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attnexport.export.domain import grid_sample_3d


@pytest.mark.pairwise
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align_corners", [0, 1])
def test_reference_and_body_are_torch(mode, padding_mode, align_corners, run_body) -> None:
    rng = np.random.default_rng(0)
    attrs = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    for space in ((3, 4, 5), (1, 4, 2)):
        x = rng.standard_normal((2, 3, *space)).astype(np.float32)
        grid = (1.5 * rng.standard_normal((2, 2, 3, 4, 3))).astype(np.float32)
        wide = x.astype(np.float64), grid.astype(np.float64)
        expected = F.grid_sample(*map(torch.from_numpy, wide), mode, padding_mode, bool(align_corners)).numpy()
        np.testing.assert_allclose(grid_sample_3d.reference(*wide, **attrs), expected, rtol=0, atol=1e-12)
        y = run_body("GridSample3d", {"x": x, "grid": grid}, attrs, 5)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


def test_inference(inferred_shape) -> None:
    attrs = {"mode": "bilinear", "padding_mode": "zeros", "align_corners": 0}
    shapes = {"x": ["n", 3, "d", "h", "w"], "grid": ["n", 2, 5, "p", 3]}
    assert inferred_shape("GridSample3d", shapes, attrs) == ["n", 3, 2, 5, "p"]
