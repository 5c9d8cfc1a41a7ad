"""Resize against PyTorch in FP64; which pixels nearest picks against FP32 arithmetic written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F


def double(array):
    return torch.from_numpy(array).double()


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("place", ["half_pixel", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("size", [(13, 5), (4, 11)])
def test_smooth_modes(evaluate, draw, mode, place, size):
    x = draw(2, 3, 7, 8)
    sizes = np.array([2, 3, *size])
    (y,) = evaluate("Resize", x, None, None, sizes, mode=mode, coordinate_transformation_mode=place)
    kind = {"linear": "bilinear", "cubic": "bicubic"}[mode]
    truth = F.interpolate(double(x), size, mode=kind, align_corners=place == "align_corners").numpy()
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, truth, rtol=1e-10, atol=1e-12)


def test_three_spatial_axes(evaluate, draw):
    x = draw(1, 2, 3, 4, 5)
    (y,) = evaluate("Resize", x, None, None, np.array([1, 2, 5, 3, 9]), mode="linear")
    truth = F.interpolate(double(x), (5, 3, 9), mode="trilinear", align_corners=False).numpy()
    np.testing.assert_allclose(y, truth, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_antialias_without_what_is_outside(evaluate, draw, mode):
    """PyTorch divides by the weights inside the image; with PIL's a = -0.5."""
    x = draw(1, 2, 12, 15)
    (y,) = evaluate(
        "Resize", x, None, None, np.array([1, 2, 5, 6]), mode=mode, antialias=1, exclude_outside=1, cubic_coeff_a=-0.5
    )
    kind = {"linear": "bilinear", "cubic": "bicubic"}[mode]
    truth = F.interpolate(double(x), (5, 6), mode=kind, antialias=True).numpy()
    np.testing.assert_allclose(y, truth, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", [0.6, 1 / 3, 1.7, 0.3, 2.4])
def test_nearest_picks_the_pixels_of_fp32_scales(evaluate, draw, scale):
    x = draw(1, 2, 20, 20)
    scales = np.array([1, 1, scale, scale], np.float32)
    (y,) = evaluate(
        "Resize", x, None, scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    size = int(np.float32(20) * scales[2])
    index = np.floor(np.arange(size, dtype=np.float32) / scales[2]).astype(int)
    np.testing.assert_array_equal(y, x[:, :, index][:, :, :, index])


def test_axes_with_a_kept_ratio(evaluate, draw):
    x = draw(1, 2, 4, 8)
    (y,) = evaluate(
        "Resize", x, None, None, np.array([8, 8]), mode="linear", axes=[2, 3], keep_aspect_ratio_policy="not_larger"
    )
    np.testing.assert_allclose(y, x)
    (y,) = evaluate(
        "Resize", x, None, None, np.array([6]), mode="linear", axes=[-1], keep_aspect_ratio_policy="not_larger"
    )
    assert y.shape == (1, 2, 4, 6)


def test_a_cropped_region(evaluate):
    x = np.arange(8, dtype=np.float32).reshape(1, 1, 1, 8)
    roi = np.array([0, 0, 0, 0.25, 1, 1, 1, 1.25], np.float32)
    (y,) = evaluate(
        "Resize", x, roi, None, np.array([1, 1, 1, 5]), mode="linear", coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=-3.0,
    )  # fmt: skip
    places = 0.25 * 7 + np.arange(5) * (1.0 * 7 / 4)
    np.testing.assert_allclose(y[0, 0, 0], np.where(places <= 7, places, -3))


@pytest.mark.parametrize("opset", [7, 9])
def test_upsample(evaluate, draw, opset):
    x = draw(1, 2, 3, 4)
    scales = [1.0, 1.0, 2.0, 3.0]
    more, further = ([], {"scales": scales}) if opset == 7 else ([np.array(scales, np.float32)], {})
    (y,) = evaluate("Upsample", x, *more, mode="nearest", opset=opset, **further)
    np.testing.assert_array_equal(y, x.repeat(2, 2).repeat(3, 3))
    (y,) = evaluate("Upsample", x, *more, mode="linear", opset=opset, **further)
    row = np.minimum(np.arange(12) / 3, 3)
    along = np.stack([np.interp(row, np.arange(4), line) for line in x[0, 0].astype("d")])
    column = np.minimum(np.arange(6) / 2, 2)
    truth = np.stack([np.interp(column, np.arange(3), line) for line in along.T], 1)
    np.testing.assert_allclose(y[0, 0], truth, rtol=1e-6)
