"""Normalisations against PyTorch in FP64 and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F


def double(array):
    return torch.from_numpy(array).double()


def close(result, truth):
    assert result.dtype == np.float64
    np.testing.assert_allclose(
        result, truth.numpy() if isinstance(truth, torch.Tensor) else truth, rtol=1e-11, atol=1e-12
    )


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_normalisation(evaluate, draw, opset):
    x, scale, bias, mean, var = draw(3, 4, 5, 6), draw(4), draw(4), draw(4), draw(4) ** 2 + 1
    (y,) = evaluate("BatchNormalization", x, scale, bias, mean, var, opset=opset, epsilon=1e-3)
    close(y, F.batch_norm(*map(double, (x, mean, var, scale, bias)), eps=float(np.float32(1e-3))))


def test_batch_normalisation_in_training(evaluate, draw):
    x, scale, bias, mean, var = draw(3, 4, 5), draw(4), draw(4), draw(4), draw(4) ** 2 + 1
    y, new_mean, new_var = evaluate(
        "BatchNormalization", x, scale, bias, mean, var, opset=15, outputs=3, training_mode=1, momentum=0.75
    )
    wide = x.astype(np.float64)
    close(y, F.batch_norm(double(x), None, None, double(scale), double(bias), True, eps=float(np.float32(1e-5))))
    close(new_mean, 0.75 * mean.astype("d") + 0.25 * wide.mean((0, 2)))
    close(new_var, 0.75 * var.astype("d") + 0.25 * wide.var((0, 2)))


def test_instance_and_group_normalisation(evaluate, draw):
    x, scale, bias = draw(2, 6, 5, 4), draw(6), draw(6)
    eps = float(np.float32(1e-5))
    (y,) = evaluate("InstanceNormalization", x, scale, bias)
    close(y, F.instance_norm(double(x), weight=double(scale), bias=double(bias), eps=eps))
    (y,) = evaluate("GroupNormalization", x, scale, bias, num_groups=3, opset=21)
    close(y, F.group_norm(double(x), 3, double(scale), double(bias), eps))
    few = scale[:3], bias[:3]
    (y,) = evaluate("GroupNormalization", x, *few, num_groups=3, opset=18)
    close(y, F.group_norm(double(x), 3, *(double(v.repeat(2)) for v in few), eps))


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_layer_and_rms_normalisation(evaluate, draw, axis):
    x = draw(2, 3, 4, 5)
    shape = x.shape[axis:]
    scale, bias = draw(*shape), draw(*shape)
    eps = float(np.float32(1e-5))
    y, mean, inverse = evaluate("LayerNormalization", x, scale, bias, axis=axis, outputs=3, opset=17)
    close(y, F.layer_norm(double(x), shape, double(scale), double(bias), eps))
    axes = tuple(range(axis % 4, 4))
    close(mean, x.astype("d").mean(axes, keepdims=True))
    close(inverse, 1 / np.sqrt(x.astype("d").var(axes, keepdims=True) + eps))
    (y,) = evaluate("RMSNormalization", x, scale, axis=axis, opset=23)
    close(y, F.rms_norm(double(x), shape, double(scale), eps))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_lp_normalisation(evaluate, draw, p, axis):
    x = draw(3, 4, 5)
    (y,) = evaluate("LpNormalization", x, p=p, axis=axis)
    close(y, F.normalize(double(x), p, axis))
    (zeros,) = evaluate("LpNormalization", np.zeros((2, 3), np.float32), p=p)
    assert not zeros.any()


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_lrn_by_loops(evaluate, draw, size):
    x = draw(2, 7, 3)
    (y,) = evaluate("LRN", x, size=size, alpha=0.5, beta=0.75, bias=2.0, opset=13)
    truth = np.zeros(x.shape)
    for c in range(7):
        low, high = max(c - (size - 1) // 2, 0), min(c + size // 2, 6)
        squares = (x[:, low : high + 1].astype("d") ** 2).sum(1)
        truth[:, c] = x[:, c] / (2 + 0.5 / size * squares) ** 0.75
    close(y, truth)


def test_mean_variance_normalisation(evaluate, draw):
    x = draw(3, 4, 5, 6)
    (y,) = evaluate("MeanVarianceNormalization", x, opset=13)
    wide = x.astype("d")
    close(y, (wide - wide.mean((0, 2, 3), keepdims=True)) / (wide.std((0, 2, 3), keepdims=True) + 1e-9))


def test_skip_layer_normalisation_gives_the_sum(evaluate, draw):
    x, skip, scale, shift, bias = draw(2, 3, 8), draw(2, 3, 8), draw(8), draw(8), draw(8)
    y, _, _, total = evaluate(
        "SkipLayerNormalization", x, skip, scale, shift, bias, domain="com.microsoft", outputs=4, epsilon=1e-5
    )
    truth = double(x) + double(skip) + double(bias)
    close(total, truth)
    close(y, F.layer_norm(truth, (8,), double(scale), double(shift), float(np.float32(1e-5))))
