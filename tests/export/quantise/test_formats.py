"""Codes and scales, against PyTorch's fake quantisation and its float8 type."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from attnexport.errors import InputError
from attnexport.export.quantise.formats import FP8, INT8, data_scale, format_of, quantise_weight, weight_scales

WEIGHT = np.random.default_rng(0).standard_normal((5, 4, 3)).astype("f4")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_int8_weights_are_those_of_pytorchs_fake_quantisation(axis: int) -> None:
    scales = weight_scales(WEIGHT, axis, INT8)
    codes = quantise_weight(WEIGHT, scales, axis, INT8)
    zero = torch.zeros(len(scales), dtype=torch.int32)
    want = torch.fake_quantize_per_channel_affine(torch.tensor(WEIGHT), torch.tensor(scales), zero, axis, -127, 127)
    shape = [1, 1, 1]
    shape[axis] = -1
    assert codes.dtype == np.int8
    np.testing.assert_allclose(codes * scales.reshape(shape), want.numpy(), rtol=1e-6)


def test_fp8_weights_are_those_of_pytorchs_float8() -> None:
    scales = weight_scales(WEIGHT, 0, FP8)
    codes = quantise_weight(WEIGHT, scales, 0, FP8)
    want = (torch.tensor(WEIGHT) / torch.tensor(scales).reshape(-1, 1, 1)).to(torch.float8_e4m3fn)
    assert np.array_equal(codes.view(np.uint8), want.view(torch.uint8).numpy())
    assert np.abs(codes.astype("f4")).max() <= 448
    assert np.array_equal(numpy_helper.to_array(FP8.tensor(codes, "w")).astype("f4"), codes.astype("f4"))


@pytest.mark.parametrize("kind", [INT8, FP8], ids=lambda k: k.name)
@pytest.mark.parametrize("absmax", [3e-5, 0.017, 1.0, 3.3333, 1e3, 6e4])
def test_a_scale_is_an_fp16_number_that_is_large_enough(kind, absmax: float) -> None:
    scale = data_scale(absmax, kind)
    assert np.float16(scale) == scale
    assert scale * kind.largest >= absmax
    assert scale >= 2.0**-14, "its inverse must stay within FP16"
    if absmax / kind.largest > 2.0**-14:
        assert scale <= 1.001 * absmax / kind.largest


def test_tiny_and_zero_channels_keep_what_they_hold() -> None:
    """ONNX Runtime gives a channel whose scale is below FP16's smallest normal number the scale 1, and so all zeros."""
    weight = np.stack([WEIGHT[0], WEIGHT[1] * 1e-3, np.zeros_like(WEIGHT[2])])
    scales = weight_scales(weight, 0, INT8)
    back = quantise_weight(weight, scales, 0, INT8) * scales.reshape(-1, 1, 1)
    assert (np.abs(back - weight).max(axis=(1, 2)) <= 0.51 * scales).all()
    assert np.abs(back[1]).max() == pytest.approx(np.abs(weight[1]).max(), rel=0.01)
    assert not back[2].any() and (scales > 0).all()


def test_ties_go_to_even_and_what_is_beyond_saturates() -> None:
    assert INT8.codes(np.array([0.5, 1.5, -2.5, 300.0, -300.0])).tolist() == [0, 2, -2, 127, -127]
    assert FP8.codes(np.array([1e9, -460.0, 17.0])).astype("f4").tolist() == [448.0, -448.0, 16.0]


def test_another_name_is_refused() -> None:
    assert format_of("fp8") is FP8
    with pytest.raises(InputError, match=r"'int4' is not an 8-bit type\. use one of int8, fp8"):
        format_of("int4")
