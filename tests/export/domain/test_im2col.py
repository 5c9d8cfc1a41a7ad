"""Im2Col is torch.nn.functional.unfold, with padding that may differ by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attnexport.export.domain import im2col

WINDOWS = [
    {"kernel": [1, 1], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [1, 1]},
    {"kernel": [3, 3], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [1, 1]},
    {"kernel": [3, 2], "dilation": [2, 1], "pads": [1, 0, 2, 3], "stride": [2, 1]},
    {"kernel": [2, 4], "dilation": [1, 2], "pads": [0, 1, 0, 2], "stride": [3, 2]},
    {"kernel": [2, 3], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [2, 3]},
]


def torch_unfold(x: np.ndarray, kernel, dilation, pads, stride) -> np.ndarray:
    top, left, bottom, right = pads
    padded = F.pad(torch.from_numpy(x), (left, right, top, bottom))
    return F.unfold(padded, kernel, dilation, 0, stride).numpy()


@pytest.mark.parametrize("attrs", WINDOWS)
@pytest.mark.parametrize("shape", [(2, 3, 8, 9), (1, 1, 7, 11)])
def test_reference_is_torch_unfold(attrs, shape) -> None:
    x = np.random.default_rng(0).standard_normal(shape)
    y = im2col.reference(x, **attrs)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, torch_unfold(x, **attrs))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.bool_])
def test_body_moves_values_of_any_type(dtype, run_body) -> None:
    x = (np.arange(2 * 3 * 8 * 9).reshape(2, 3, 8, 9) % 7).astype(dtype)
    y = run_body("Im2Col", {"x": x}, WINDOWS[2], 3)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, im2col.reference(x, **WINDOWS[2]))


@pytest.mark.parametrize("attrs", WINDOWS)
def test_body_is_the_reference(attrs, run_body) -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 9)).astype(np.float32)
    np.testing.assert_array_equal(run_body("Im2Col", {"x": x}, attrs, 3), im2col.reference(x, **attrs))


@pytest.mark.parametrize("attrs", WINDOWS)
def test_inference_gives_the_references_shape(attrs, inferred_shape) -> None:
    expected = im2col.reference(np.zeros((2, 3, 8, 9)), **attrs).shape
    assert inferred_shape("Im2Col", {"x": [2, 3, 8, 9]}, attrs) == list(expected)
    assert inferred_shape("Im2Col", {"x": ["batch", 3, 8, "w"]}, attrs)[:2] == ["batch", expected[1]]
    assert inferred_shape("Im2Col", {"x": ["batch", 3, 8, "w"]}, attrs)[2] == ""
