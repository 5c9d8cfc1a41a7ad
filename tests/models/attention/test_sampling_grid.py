"""Sampling grids: the regular one is that of torch's affine_grid for the identity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from attnexport.models.attention.sampling_grid import projective_grid, regular_grid


@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(4, 7), (5, 2), (1, 3), (1, 1)])
def test_the_regular_grid_is_the_affine_grid_of_the_identity(size, align_corners, dtype):
    grid = regular_grid(size, align_corners, torch.empty((), dtype=dtype))
    assert grid.dtype == dtype
    identity = torch.eye(2, 3, dtype=dtype)[None]
    expected = F.affine_grid(identity, [1, 1, *size], align_corners=align_corners)[0]
    torch.testing.assert_close(grid, expected, rtol=0, atol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_projective_grid_divides_by_the_third_coordinate(align_corners, draw):
    theta = draw(2, 3, 3)
    grid = projective_grid(theta, (3, 4), align_corners)
    assert grid.shape == (2, 3, 4, 2)
    target = regular_grid((3, 4), align_corners, theta).numpy()
    for b in range(2):
        for i in range(3):
            for j in range(4):
                u, v, w = theta[b].numpy() @ [*target[i, j], 1.0]
                np.testing.assert_allclose(grid[b, i, j], [u / w, v / w], rtol=1e-10)
