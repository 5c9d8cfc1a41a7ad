"""Pools against PyTorch in FP64 and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def double(array):
    return torch.from_numpy(array).double()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("ceil", [0, 1])
def test_max_pool_and_its_indices(evaluate, draw, rank, ceil):
    x = draw(2, 3, *(11, 10, 9)[:rank])
    kernel, strides, pads, dilations = [3, 2, 3][:rank], [2, 3, 2][:rank], [1, 0, 1][:rank], [2, 1, 1][:rank]
    y, index = evaluate(
        "MaxPool",
        x,
        outputs=2,
        kernel_shape=kernel,
        strides=strides,
        pads=pads * 2,
        dilations=dilations,
        ceil_mode=ceil,
    )
    truth, places = MAX[rank](double(x), kernel, strides, pads, dilations, ceil_mode=bool(ceil), return_indices=True)
    np.testing.assert_array_equal(y, truth.numpy())
    first = np.arange(6).reshape(2, 3, *[1] * rank) * int(np.prod(x.shape[2:]))
    np.testing.assert_array_equal(index, places.numpy() + first)


def test_indices_count_column_by_column(evaluate, draw):
    x = draw(1, 1, 4, 6)
    y, index = evaluate("MaxPool", x, outputs=2, kernel_shape=[2, 2], strides=[2, 2], storage_order=1)
    np.testing.assert_array_equal(y[0, 0], x[0, 0].T.reshape(-1)[index[0, 0]])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("include", [0, 1])
def test_average_pool(evaluate, draw, rank, ceil, include):
    x = draw(2, 3, *(11, 10, 9)[:rank])
    kernel, strides, pads = [3, 2, 3][:rank], [2, 3, 2][:rank], [1, 1, 1][:rank]
    (y,) = evaluate(
        "AveragePool", x, kernel_shape=kernel, strides=strides, pads=pads * 2, ceil_mode=ceil, count_include_pad=include
    )
    truth = AVERAGE[rank](double(x), kernel, strides, pads, bool(ceil), bool(include)).numpy()
    np.testing.assert_allclose(y, truth, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_by_loops(evaluate, draw, mode):
    x = draw(1, 1, 10)
    outputs = {
        op: evaluate(op, x, kernel_shape=[4], strides=[3], auto_pad=mode)[0]
        for op in ("MaxPool", "AveragePool", "LpPool")
    }
    count = 3 if mode == "VALID" else 4
    total = 0 if mode == "VALID" else 9 + 4 - 10
    head = total // 2 if mode == "SAME_UPPER" else total - total // 2
    for place in range(count):
        values = [float(x[0, 0, i]) for i in range(place * 3 - head, place * 3 - head + 4) if 0 <= i < 10]
        assert outputs["MaxPool"][0, 0, place] == max(values)
        assert outputs["AveragePool"][0, 0, place] == pytest.approx(sum(values) / len(values), rel=1e-12)
        assert outputs["LpPool"][0, 0, place] == pytest.approx(sum(v * v for v in values) ** 0.5, rel=1e-12)
    assert all(y.shape == (1, 1, count) for y in outputs.values())


@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_pools(evaluate, draw, p):
    x = draw(2, 3, 8, 6)
    (y,) = evaluate("LpPool", x, kernel_shape=[2, 3], strides=[2, 3], p=p)
    truth = F.lp_pool2d(double(x).abs(), p, (2, 3), (2, 3)).numpy()
    np.testing.assert_allclose(y, truth, rtol=1e-12)
    (whole,) = evaluate("GlobalLpPool", x, p=p)
    np.testing.assert_allclose(whole[:, :, 0, 0], np.linalg.norm(x.reshape(2, 3, -1).astype("d"), p, -1), rtol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_pools(evaluate, draw, rank):
    x = draw(2, 3, *(5, 4, 3)[:rank])
    flat = x.astype(np.float64).reshape(2, 3, -1)
    for op, truth in (("GlobalMaxPool", flat.max(-1)), ("GlobalAveragePool", flat.mean(-1))):
        (y,) = evaluate(op, x)
        assert y.shape == (2, 3, *[1] * rank)
        np.testing.assert_allclose(y.reshape(2, 3), truth, rtol=1e-12)


def test_max_unpool(evaluate, draw):
    x = double(draw(2, 3, 6, 8))
    pooled, places = F.max_pool2d(x, 2, return_indices=True)
    first = torch.arange(6).reshape(2, 3, 1, 1) * 48
    values, index = pooled.float().numpy(), (places + first).numpy()
    truth = F.max_unpool2d(pooled, places, 2).numpy()
    (y,) = evaluate("MaxUnpool", values, index, kernel_shape=[2, 2], strides=[2, 2])
    np.testing.assert_array_equal(y, truth)
    (larger,) = evaluate("MaxUnpool", values, index, np.array([2, 3, 7, 8]), kernel_shape=[2, 2], strides=[2, 2])
    np.testing.assert_array_equal(larger[:, :, :6], truth)
    assert not larger[:, :, 6].any()
