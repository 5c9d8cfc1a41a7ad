"""col2im_pad_add: sums of padded pieces, with output sizes known, or computed, or given at run time."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.domain import im2col

WINDOWS = [
    {"kernel": [1, 1], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [1, 1]},
    {"kernel": [3, 3], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [1, 1]},
    {"kernel": [3, 2], "dilation": [2, 1], "pads": [1, 0, 2, 3], "stride": [2, 1]},
    {"kernel": [2, 2], "dilation": [1, 2], "pads": [0, 1, 0, 2], "stride": [3, 4]},
    {"kernel": [2, 3], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [2, 3]},
]


def inputs(attrs, batch=2, channels=3, size=(8, 9), dtype=np.float32) -> dict[str, np.ndarray]:
    shape = im2col.reference(np.zeros((batch, channels, *size)), **attrs).shape
    cols = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    return {"cols": cols, "output_size": np.array(size)}


@pytest.mark.pairwise
@pytest.mark.parametrize("attrs", WINDOWS)
@pytest.mark.parametrize("constants", [(), ("output_size",)], ids=["given", "constant"])
@pytest.mark.parametrize("dynamic", [False, {"cols0", "cols2"}, True], ids=["static", "dynamic", "channels too"])
def test_every_window(attrs, constants, dynamic, lowered) -> None:
    form = lowered("Col2Im", inputs(attrs), attrs, dynamic=dynamic, constants=constants, only="col2im_pad_add")
    form.check(inputs(attrs), atol=3e-6)
    if constants:
        form.check(inputs(attrs, batch=2 if dynamic is False else 5), atol=3e-6)


@pytest.mark.parametrize("attrs", WINDOWS)
def test_one_model_for_many_sizes(attrs, lowered) -> None:
    form = lowered("Col2Im", inputs(attrs), attrs, dynamic={"cols0", "cols2"}, only="col2im_pad_add")
    for batch, size in ((2, (8, 9)), (1, (13, 6)), (5, (7, 11)), (3, (10, 10))):
        form.check(inputs(attrs, batch=batch, size=size), atol=3e-6)


def test_half_precision(lowered) -> None:
    attrs, given = WINDOWS[2], inputs(WINDOWS[2], dtype=np.float16)
    lowered("Col2Im", given, attrs, constants=("output_size",), dynamic={"cols0"}, only="col2im_pad_add").check(
        given, atol=4e-3
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("constants", [(), ("output_size",)], ids=["given", "constant"])
def test_tensorrt(dtype, constants, lowered, builds) -> None:
    attrs, given = WINDOWS[2], inputs(WINDOWS[2], dtype=dtype)
    dynamic = {"cols0"} if constants else {"cols0", "cols2"}
    builds(lowered("Col2Im", given, attrs, dynamic=dynamic, constants=constants, only="col2im_pad_add"), given)
