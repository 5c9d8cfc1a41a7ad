"""Thin-plate splines against SciPy's, which solves the system anew for each set of places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.models.attention.sampling_grid import regular_grid
from attnexport.models.attention.thin_plate_spline import ThinPlateSpline


def lattice(side: int) -> np.ndarray:
    steps = np.linspace(-1, 1, side)
    return np.array([(x, y) for y in steps for x in steps])


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("side", "size"), [(4, (6, 9)), (2, (3, 3)), (3, (1, 5)), (7, (8, 4))])
def test_agrees_with_scipy(side, size, align_corners, draw):
    interpolate = pytest.importorskip("scipy.interpolate")
    points = draw(2, side**2, 2)
    grid = ThinPlateSpline(side, size, align_corners=align_corners)(points)
    assert grid.shape == (2, *size, 2)
    target = regular_grid(size, align_corners, points).reshape(-1, 2).numpy()
    for b in range(2):
        spline = interpolate.RBFInterpolator(lattice(side), points[b].numpy(), kernel="thin_plate_spline", degree=1)
        np.testing.assert_allclose(grid[b].reshape(-1, 2), spline(target), rtol=0, atol=1e-10)


@pytest.mark.parametrize("side", [2, 4, 5])
def test_passes_through_its_control_points(side, draw):
    points = draw(3, side**2, 2)
    grid = ThinPlateSpline(side, (side, side), align_corners=True)(points)
    torch.testing.assert_close(grid.flatten(1, 2), points, rtol=0, atol=1e-12)


def test_an_affine_move_of_the_control_points_bends_nothing(draw):
    control = torch.from_numpy(lattice(4))
    theta = draw(2, 3)
    points = control @ theta[:, :2].T + theta[:, 2]
    grid = ThinPlateSpline(4, (5, 6))(points[None])
    target = regular_grid((5, 6), False, points)
    torch.testing.assert_close(grid[0], target @ theta[:, :2].T + theta[:, 2], rtol=0, atol=1e-12)


def test_the_constants_keep_their_digits_when_a_module_changes_its_dtype(draw):
    points = draw(1, 16, 2)
    spline = ThinPlateSpline(4, (5, 5))
    expected = spline(points)
    assert spline.float()(points.float()).dtype == torch.float32
    assert torch.equal(spline.double()(points), expected)
    assert not spline.state_dict()


def test_gradients(draw):
    assert torch.autograd.gradcheck(ThinPlateSpline(3, (3, 4)), draw(2, 9, 2).requires_grad_())


def test_one_point_is_refused():
    with pytest.raises(ValueError, match="1 control points to a side do not span an image: it takes 2 or more"):
        ThinPlateSpline(1, (4, 4))
