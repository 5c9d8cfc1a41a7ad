"""Regions, grids and boxes against PyTorch or plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F


def double(array):
    return torch.from_numpy(array).double()


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("mode", ["linear", "nearest", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample(evaluate, draw, rank, mode, padding):
    if rank == 3 and mode == "cubic":
        pytest.skip("a volume has no cubic mode")
    x = draw(2, 3, *(6, 7, 5)[:rank])
    grid = draw(2, *(4, 5, 3)[:rank], rank)
    (y,) = evaluate("GridSample", x, grid, mode=mode, padding_mode=padding, align_corners=1, opset=20)
    kind = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    np.testing.assert_allclose(
        y, F.grid_sample(double(x), double(grid), kind, padding, True).numpy(), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 3, 4, 5, 6)])
def test_affine_grid(evaluate, draw, aligned, size):
    theta = draw(2, len(size) - 2, len(size) - 1)
    (y,) = evaluate("AffineGrid", theta, np.array(size), align_corners=aligned, opset=20)
    np.testing.assert_allclose(
        y, F.affine_grid(double(theta), list(size), bool(aligned)).numpy(), rtol=1e-12, atol=1e-12
    )


def interpolated(image, y, x):
    """One image (H, W) at a place that is clipped to it, zero beyond one pixel outside."""
    height, width = image.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    part, side = y - top, x - left
    first = image[top, left] * (1 - side) + image[top, right] * side
    return first * (1 - part) + (image[bottom, left] * (1 - side) + image[bottom, right] * side) * part


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("half", [True, False])
def test_roi_align_by_loops(evaluate, draw, ratio, half):
    x = draw(2, 3, 9, 10)
    rois = np.array([[0.5, 1.25, 7.0, 6.5], [-1.0, 2.0, 12.0, 8.0]], np.float32)
    batch = np.array([1, 0])
    place = "half_pixel" if half else "output_half_pixel"
    (y,) = evaluate(
        "RoiAlign", x, rois, batch, output_height=3, output_width=2, sampling_ratio=ratio, spatial_scale=0.5, opset=16,
        coordinate_transformation_mode=place,
    )  # fmt: skip
    for n, roi in enumerate(rois.astype("d") * 0.5 - (0.5 if half else 0)):
        w, h = roi[2] - roi[0], roi[3] - roi[1]
        if not half:
            w, h = max(w, 1), max(h, 1)
        rows, cols = (ratio, ratio) if ratio else (int(np.ceil(h / 3)), int(np.ceil(w / 2)))
        for c, i, j in np.ndindex(3, 3, 2):
            image = x[batch[n], c].astype("d")
            samples = [
                interpolated(image, roi[1] + (i + (a + 0.5) / rows) * h / 3, roi[0] + (j + (b + 0.5) / cols) * w / 2)
                for a in range(rows)
                for b in range(cols)
            ]
            np.testing.assert_allclose(y[n, c, i, j], np.mean(samples), rtol=1e-10, atol=1e-12)


def test_max_roi_pool_by_hand(evaluate):
    x = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
    (y,) = evaluate("MaxRoiPool", x, np.array([[0, 1, 1, 4, 4]], np.float32), pooled_shape=[2, 2])
    np.testing.assert_array_equal(y[0, 0], [[14, 16], [26, 28]])


def test_non_max_suppression(evaluate):
    """The second box covers two thirds of the first one's union; the fourth lies elsewhere; a score below the limit falls out."""
    boxes = np.array([[[0, 0, 1, 1], [0, 0.2, 1, 1.2], [0, 0.9, 1, 1.9], [5, 5, 6, 6], [0, 0, 9, 9]]], np.float32)
    scores = np.array([[[0.9, 0.8, 0.7, 0.95, 0.1]]], np.float32)
    most, overlap, least = np.array([4]), np.array([0.5], np.float32), np.array([0.3], np.float32)
    (y,) = evaluate("NonMaxSuppression", boxes, scores, most, overlap, least)
    np.testing.assert_array_equal(y, [[0, 0, 3], [0, 0, 0], [0, 0, 2]])
    (y,) = evaluate("NonMaxSuppression", boxes, scores, np.array([2]), overlap, least)
    np.testing.assert_array_equal(y, [[0, 0, 3], [0, 0, 0]])
    (nothing,) = evaluate("NonMaxSuppression", boxes, scores)
    assert nothing.shape == (0, 3)
