"""Convolutions against PyTorch in FP64 and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def double(array):
    return torch.from_numpy(array).double()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("group", [1, 2])
def test_conv(evaluate, draw, rank, group):
    x, w, b = draw(2, 4, *(9, 8, 7)[:rank]), draw(6, 4 // group, *(3, 2, 3)[:rank]), draw(6)
    strides, dilations, pads = [2, 1, 2][:rank], [1, 2, 1][:rank], [1, 1, 0][:rank]
    (y,) = evaluate("Conv", x, w, b, group=group, strides=strides, dilations=dilations, pads=pads * 2)
    truth = CONV[rank](double(x), double(w), double(b), strides, pads, dilations, group).numpy()
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_same_padding_by_loops(evaluate, draw, mode, dilation):
    x, w = draw(1, 1, 10), draw(1, 1, 4)
    (y,) = evaluate("Conv", x, w, auto_pad=mode, strides=[3], dilations=[dilation])
    extent = 3 * dilation + 1
    total = max((4 - 1) * 3 + extent - 10, 0)
    head = total // 2 if mode == "SAME_UPPER" else total - total // 2
    truth = np.zeros(4)
    for place in range(4):
        for tap in range(4):
            at = place * 3 + tap * dilation - head
            if 0 <= at < 10:
                truth[place] += float(x[0, 0, at]) * float(w[0, 0, tap])
    np.testing.assert_allclose(y[0, 0], truth, rtol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("group", [1, 2])
def test_conv_transpose(evaluate, draw, rank, group):
    x, w, b = draw(2, 4, *(5, 4, 3)[:rank]), draw(4, 3, *(3, 4, 3)[:rank]), draw(3 * group)
    strides, pads, further, dilations = [2] * rank, [1] * rank, [1] * rank, [2, 1, 1][:rank]
    (y,) = evaluate(
        "ConvTranspose",
        x,
        w,
        b,
        group=group,
        strides=strides,
        pads=pads * 2,
        output_padding=further,
        dilations=dilations,
    )
    truth = TRANSPOSED[rank](double(x), double(w), double(b), strides, pads, further, group, dilations).numpy()
    np.testing.assert_allclose(y, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
def test_an_output_shape_decides_the_padding(evaluate, draw, mode):
    x, w = draw(1, 2, 5), draw(2, 3, 4)
    (y,) = evaluate("ConvTranspose", x, w, strides=[3], output_shape=[13], auto_pad=mode)
    whole = F.conv_transpose1d(double(x), double(w), stride=3).numpy()
    total = whole.shape[2] - 13
    head = total // 2 if mode == "SAME_UPPER" else total - total // 2
    np.testing.assert_allclose(y, whole[:, :, head : head + 13], rtol=1e-12)


def bilinear(image, y, x):
    """A pixel between the others, zero outside, from one image (H, W)."""
    total = 0.0
    for row in (int(np.floor(y)), int(np.floor(y)) + 1):
        for col in (int(np.floor(x)), int(np.floor(x)) + 1):
            if 0 <= row < image.shape[0] and 0 <= col < image.shape[1]:
                total += float(image[row, col]) * (1 - abs(y - row)) * (1 - abs(x - col))
    return total


def test_deform_conv_by_loops(evaluate, draw):
    x, w, b = draw(1, 4, 5, 6), draw(2, 2, 2, 3), draw(2)
    offset, mask = draw(1, 2 * 12, 4, 2), draw(1, 2 * 6, 4, 2)
    (y,) = evaluate("DeformConv", x, w, offset, b, mask, group=2, offset_group=2, strides=[1, 2], opset=19)
    truth = np.zeros(y.shape)
    for o, p, q in np.ndindex(2, 4, 2):
        truth[0, o, p, q] = b[o]
        for c, tap in np.ndindex(2, 6):
            channel, i, j = o * 2 + c, tap // 3, tap % 3
            moves = offset[0].reshape(2, 6, 2, 4, 2)[channel // 2, tap, :, p, q].astype("d")
            value = bilinear(x[0, channel], p + i + moves[0], q * 2 + j + moves[1])
            truth[0, o, p, q] += (
                float(w[o, c, i, j]) * float(mask[0].reshape(2, 6, 4, 2)[channel // 2, tap, p, q]) * value
            )
    np.testing.assert_allclose(y, truth, rtol=1e-11, atol=1e-12)


def test_col2im(evaluate, draw):
    columns = draw(2, 3 * 6, 5 * 3)
    (y,) = evaluate(
        "Col2Im",
        columns,
        np.array([9, 8]),
        np.array([3, 2]),
        strides=[2, 2],
        dilations=[1, 2],
        pads=[1, 0, 1, 0],
        opset=18,
    )
    truth = F.fold(double(columns), (9, 8), (3, 2), (1, 2), (1, 0), (2, 2)).numpy()
    np.testing.assert_allclose(y, truth, rtol=1e-12)


def test_fused_conv_adds_then_activates(evaluate, draw):
    x, w, b, z = draw(1, 2, 6), draw(3, 2, 3), draw(3), draw(1, 3, 4)
    (y,) = evaluate("FusedConv", x, w, b, z, domain="com.microsoft", activation="LeakyRelu", activation_params=[0.25])
    truth = F.leaky_relu(F.conv1d(double(x), double(w), double(b)) + double(z), 0.25).numpy()
    np.testing.assert_allclose(y, truth, rtol=1e-12)
