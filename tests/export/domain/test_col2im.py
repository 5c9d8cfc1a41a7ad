"""Col2Im is torch.nn.functional.fold, with padding that may differ by side."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from attnexport.export.domain import col2im, im2col

SIZE = np.array([8, 9])
WINDOWS = [
    {"kernel": [1, 1], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [1, 1]},
    {"kernel": [3, 3], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [1, 1]},
    {"kernel": [3, 2], "dilation": [2, 1], "pads": [1, 0, 2, 3], "stride": [2, 1]},
    {"kernel": [2, 2], "dilation": [1, 2], "pads": [0, 1, 0, 2], "stride": [3, 3]},
    {"kernel": [2, 3], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [2, 3]},
]


def columns(attrs, dtype=np.float64) -> np.ndarray:
    shape = im2col.reference(np.zeros((2, 3, *SIZE)), **attrs).shape
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("attrs", WINDOWS)
def test_reference_is_torch_fold(attrs) -> None:
    top, left, bottom, right = attrs["pads"]
    whole = (int(SIZE[0]) + top + bottom, int(SIZE[1]) + left + right)
    cols = columns(attrs)
    full = F.fold(torch.from_numpy(cols), whole, attrs["kernel"], attrs["dilation"], 0, attrs["stride"]).numpy()
    y = col2im.reference(cols, SIZE, **attrs)
    np.testing.assert_allclose(y, full[:, :, top : top + SIZE[0], left : left + SIZE[1]], rtol=0, atol=1e-13)
    assert y.dtype == np.float64 and y.shape == (2, 3, 8, 9)


@pytest.mark.parametrize("attrs", WINDOWS)
def test_body_is_the_reference(attrs, run_body) -> None:
    cols = columns(attrs, np.float32)
    y = run_body("Col2Im", {"cols": cols, "output_size": SIZE}, attrs, 4)
    np.testing.assert_allclose(y, col2im.reference(cols.astype(np.float64), SIZE, **attrs), rtol=0, atol=2e-6)


def test_inference(inferred_shape) -> None:
    attrs = WINDOWS[1]
    assert inferred_shape("Col2Im", {"cols": ["n", 27, 72]}, attrs, {"output_size": SIZE}) == ["n", 3, 8, 9]
