"""Quantisation by the formulas of the standard, written out."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_quantise_and_back(evaluate, draw, dtype, axis):
    x = draw(3, 4) * 40
    count = 1 if axis is None else x.shape[axis]
    scale = np.linspace(0.1, 0.6, count, dtype=np.float32)
    zero = np.arange(count).astype(dtype) + dtype(3)
    more = {} if axis is None else {"axis": axis}
    if axis is None:
        scale, zero = scale[0], zero[0]
    (q,) = evaluate("QuantizeLinear", x, scale, zero, **more)
    (y,) = evaluate("DequantizeLinear", q, scale, zero, **more)
    info = np.iinfo(dtype)
    for i, j in np.ndindex(3, 4):
        s, z = (scale, zero) if axis is None else (scale[(i, j)[axis]], zero[(i, j)[axis]])
        step = min(max(round(float(x[i, j] / s)) + int(z), info.min), info.max)
        assert q.dtype == dtype
        assert q[i, j] == step
        assert y[i, j] == (step - int(z)) * float(s)


def test_blocks_of_four_bits(evaluate):
    x = np.array([[1, -3, 7, -8], [2, 4, -5, 6]]).astype(ml_dtypes.int4)
    scale = np.array([[0.5, 2], [1, 4]], np.float32)
    (y,) = evaluate("DequantizeLinear", x, scale, axis=1, block_size=2, opset=21)
    np.testing.assert_array_equal(y, [[0.5, -1.5, 14, -16], [2, 4, -20, 24]])


def test_a_dynamic_range_includes_zero(evaluate):
    x = np.array([1.0, 2.0, 3.0, 5.1], np.float32)
    q, scale, zero = evaluate("DynamicQuantizeLinear", x, outputs=3)
    assert scale == np.float32(5.1) / np.float32(255)
    assert zero == 0
    np.testing.assert_array_equal(q, [50, 100, 150, 255])
