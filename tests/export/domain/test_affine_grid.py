"""AffineGrid is torch.nn.functional.affine_grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attnexport.export.domain import affine_grid

SIZES = [(2, 1, 4, 5), (2, 3, 1, 6), (2, 1, 5, 1), (2, 1, 3, 4, 5), (2, 1, 1, 3, 1)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("align_corners", [0, 1])
def test_reference_and_body_are_torch_affine_grid(size, align_corners, run_body) -> None:
    axes = len(size) - 2
    theta = np.random.default_rng(0).standard_normal((2, axes, axes + 1))
    expected = F.affine_grid(torch.from_numpy(theta), list(size), bool(align_corners)).numpy()
    grid = affine_grid.reference(theta, np.array(size), align_corners=align_corners)
    assert grid.dtype == np.float64
    np.testing.assert_allclose(grid, expected, rtol=0, atol=1e-14)
    inputs = {"theta": theta.astype(np.float32), "size": np.array(size)}
    y = run_body("AffineGrid", inputs, {"align_corners": align_corners}, axes + 2)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-6)


def test_inference(inferred_shape) -> None:
    attrs = {"align_corners": 0}
    assert inferred_shape("AffineGrid", {"theta": ["n", 2, 3]}, attrs, {"size": [2, 1, 4, 5]}) == [2, 4, 5, 2]
    assert inferred_shape("AffineGrid", {"theta": ["n", 3, 4]}, attrs, {"size": [2, 1, 3, 4, 5]}) == [2, 3, 4, 5, 3]
