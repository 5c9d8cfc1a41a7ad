"""col2im_conv_transpose: one layer or one for each axis, with output sizes known, or computed, or given at run time."""

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
    {"kernel": [5, 4], "dilation": [1, 2], "pads": [2, 3, 1, 4], "stride": [3, 1]},
    {"kernel": [5, 5], "dilation": [1, 1], "pads": [0, 2, 2, 0], "stride": [1, 2]},
    {"kernel": [2, 2], "dilation": [1, 1], "pads": [3, 0, 2, 4], "stride": [2, 1]},
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
    form = lowered(
        "Col2Im",
        inputs(attrs),
        attrs,
        dynamic=dynamic,
        constants=constants,
        only="col2im_conv_transpose",
        targets=["ort"],
    )
    form.check(inputs(attrs), atol=3e-6)
    if constants:
        form.check(inputs(attrs, batch=2 if dynamic is False else 5), atol=3e-6)


@pytest.mark.parametrize("attrs", WINDOWS)
def test_one_model_for_many_sizes(attrs, lowered) -> None:
    form = lowered(
        "Col2Im", inputs(attrs), attrs, dynamic={"cols0", "cols2"}, only="col2im_conv_transpose", targets=["ort"]
    )
    for batch, size in ((2, (8, 9)), (1, (13, 6)), (5, (7, 11)), (3, (10, 10))):
        form.check(inputs(attrs, batch=batch, size=size), atol=3e-6)


def test_half_precision(lowered) -> None:
    attrs, given = WINDOWS[5], inputs(WINDOWS[5], dtype=np.float16)
    form = lowered(
        "Col2Im",
        given,
        attrs,
        constants=("output_size",),
        dynamic={"cols0"},
        only="col2im_conv_transpose",
        targets=["ort"],
    )
    form.check(given, atol=8e-3)


@pytest.mark.parametrize(("attrs", "chosen"), [
    (WINDOWS[1], "conv_transpose"), (WINDOWS[4], "conv_transpose"), (WINDOWS[0], "conv_transpose"),
    ({"kernel": [7, 7], "dilation": [1, 1], "pads": [3, 3, 3, 3], "stride": [1, 1]}, "conv_transpose"),
])  # fmt: skip
def test_it_is_the_form_for_all_targets_and_pads_and_adds_the_one_for_doubles(attrs, chosen, lowered) -> None:
    form = lowered("Col2Im", inputs(attrs), attrs, constants=("output_size",), dynamic={"cols0"})
    assert form.applied.lowering == f"col2im_{chosen}"
    assert "slower" in form.applied.refused["col2im_pad_add"]
    wide = inputs(attrs, dtype=np.float64)
    form = lowered("Col2Im", wide, attrs, constants=("output_size",), dynamic={"cols0"})
    assert form.applied.lowering == "col2im_pad_add"
    assert form.applied.refused["col2im_conv_transpose"] == "ONNX Runtime has ConvTranspose in FP32 only"
    form.check(wide, atol=1e-13)


@pytest.mark.parametrize("attrs", WINDOWS[2:4])
def test_strides_and_dilation_along_one_axis_are_refused_for_tensorrt(attrs, lowered) -> None:
    form = lowered("Col2Im", inputs(attrs), attrs)
    assert form.applied.lowering == "col2im_pad_add"
    reason = "TensorRT has no transposed convolution that is strided and dilated along one axis"
    assert form.applied.refused["col2im_conv_transpose"] == reason


@pytest.mark.pairwise
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("constants", [(), ("output_size",)], ids=["given", "constant"])
@pytest.mark.parametrize("attrs", [WINDOWS[1], WINDOWS[4], WINDOWS[5]], ids=["one layer", "strided", "by axis"])
def test_tensorrt(dtype, constants, attrs, lowered, builds) -> None:
    given = inputs(attrs, dtype=dtype)
    dynamic = {"cols0"} if constants else {"cols0", "cols2"}
    form = lowered("Col2Im", given, attrs, dynamic=dynamic, constants=constants, only="col2im_conv_transpose")
    builds(form, given)
