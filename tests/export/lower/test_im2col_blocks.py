"""im2col_blocks: windows that tile the image, by Reshape and Transpose."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import UnsupportedModelError

TILES = {"kernel": [2, 3], "dilation": [1, 1], "pads": [0, 1, 1, 0], "stride": [2, 3]}
WHOLE = {"kernel": [4, 4], "dilation": [1, 1], "pads": [0, 0, 0, 0], "stride": [4, 4]}


def image(*shape: int, dtype=np.float32) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@pytest.mark.pairwise
@pytest.mark.parametrize("attrs", [TILES, WHOLE])
@pytest.mark.parametrize("dynamic", [False, True, {"x0"}, {"x2", "x3"}])
@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 3, 9, 11)])
def test_static_and_dynamic(attrs, dynamic, shape, lowered) -> None:
    form = lowered("Im2Col", {"x": image(*shape)}, attrs, dynamic=dynamic)
    assert form.applied.lowering == "im2col_blocks"
    assert "slower" in form.applied.refused["im2col_slices"]
    form.check({"x": image(*shape)})


def test_one_model_for_many_sizes(lowered) -> None:
    form = lowered("Im2Col", {"x": image(1, 2, 8, 8)}, TILES)
    for shape in ((1, 2, 8, 8), (3, 2, 11, 7), (7, 5, 9, 16)):
        form.check({"x": image(*shape)})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stride": [1, 1]}, "windows of [2, 3] with stride [1, 1] do not tile the image"),
        ({"dilation": [1, 2]}, "dilation [1, 2] leaves holes in the windows"),
    ],
)
def test_refusals(change, reason, lowered) -> None:
    form = lowered("Im2Col", {"x": image(2, 3, 8, 8)}, TILES | change)
    assert form.applied.lowering == "im2col_slices"
    assert form.applied.refused["im2col_blocks"] == reason
    with pytest.raises(UnsupportedModelError) as raised:
        lowered("Im2Col", {"x": image(2, 3, 8, 8)}, TILES | change, only="im2col_blocks")
    assert "'block.attn/op' (Im2Col) has no standard form for" in str(raised.value)
    assert f"(im2col_blocks: {reason})" in str(raised.value)


def test_dilation_of_a_single_tap_is_no_hole(lowered) -> None:
    attrs = {"kernel": [1, 2], "dilation": [3, 1], "pads": [0, 0, 0, 0], "stride": [1, 2]}
    form = lowered("Im2Col", {"x": image(2, 3, 8, 8)}, attrs)
    assert form.applied.lowering == "im2col_blocks"
    form.check({"x": image(2, 3, 8, 8)})


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_tensorrt(dtype, lowered, builds) -> None:
    x = image(2, 3, 8, 9, dtype=dtype)
    builds(lowered("Im2Col", {"x": x}, TILES, dynamic={"x0", "x2", "x3"}, only="im2col_blocks"), {"x": x})
