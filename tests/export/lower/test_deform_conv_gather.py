"""deform_conv_gather: every nesting of groups, with mask and bias, static and dynamic; deform_conv_native beside it."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import UnsupportedModelError

PLAIN = {"group": 1, "offset_group": 1, "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [1, 1]}
GEOMETRIES = [
    PLAIN,
    PLAIN | {"dilation": [2, 1], "pads": [2, 0, 1, 3], "stride": [2, 1]},
    PLAIN | {"group": 2, "offset_group": 4},
    PLAIN | {"group": 4, "offset_group": 2, "stride": [1, 3]},
    PLAIN | {"group": 1, "offset_group": 8},
    PLAIN | {"group": 8},
]


def inputs(
    attrs, batch=2, size=(7, 6), dtype=np.float32, extra=("mask", "bias"), kernel=(3, 2)
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    top, left, bottom, right = attrs["pads"]
    out = [
        (length + pad - step * (taps - 1) - 1) // stride + 1
        for length, pad, step, taps, stride in zip(
            size, (top + bottom, left + right), attrs["dilation"], kernel, attrs["stride"], strict=True
        )
    ]
    taps = attrs["offset_group"] * kernel[0] * kernel[1]
    found = {
        "x": rng.standard_normal((batch, 8, *size)),
        "weight": 0.3 * rng.standard_normal((16, 8 // attrs["group"], *kernel)),
        "offset": 2.5 * rng.standard_normal((batch, 2 * taps, *out)),
        "mask": rng.random((batch, taps, *out)),
        "bias": rng.standard_normal(16),
    }
    return {name: value.astype(dtype) for name, value in found.items() if name in ("x", "weight", "offset", *extra)}


FREE = {"x0", "x2", "x3", "offset0", "offset2", "offset3", "mask0", "mask2", "mask3"}


@pytest.mark.pairwise
@pytest.mark.parametrize("attrs", GEOMETRIES)
@pytest.mark.parametrize("extra", [(), ("mask",), ("mask", "bias")], ids=str)
@pytest.mark.parametrize("dynamic", [False, FREE], ids=["static", "dynamic"])
def test_every_geometry(attrs, extra, dynamic, lowered) -> None:
    given = inputs(attrs, extra=extra)
    form = lowered("DeformConv", given, attrs, dynamic=dynamic, constants=("weight",))
    assert form.applied.lowering == "deform_conv_gather"
    assert form.applied.refused == {"deform_conv_native": "opset 18 has no DeformConv: it came with 19"}
    form.check(given, atol=2e-5)
    if dynamic:
        for batch, size in ((1, (7, 6)), (3, (5, 11))):
            other = inputs(attrs, batch, size, extra=extra) | {"weight": given["weight"]}
            form.check(other, atol=2e-5)


def test_a_computed_weight_and_one_image(lowered) -> None:
    given = inputs(GEOMETRIES[2], batch=1)
    lowered("DeformConv", given, GEOMETRIES[2], dynamic=False).check(given, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_types(dtype, lowered) -> None:
    given = inputs(PLAIN, dtype=dtype)
    form = lowered("DeformConv", given, PLAIN, dynamic=FREE, constants=("weight",), only="deform_conv_gather")
    form.check(given, atol=2e-2 if dtype == np.float16 else 1e-13)


def test_refusals(lowered) -> None:
    attrs = PLAIN | {"group": 4, "offset_group": 8}
    given = inputs(attrs)
    given["x"] = np.zeros((2, 24, 7, 6), np.float32)
    attrs = attrs | {"group": 12}
    with pytest.raises(UnsupportedModelError, match="12 groups and 8 offset groups do not nest"):
        lowered(
            "DeformConv",
            given | {"weight": np.zeros((24, 2, 3, 2), np.float32), "bias": np.zeros(24, np.float32)},
            attrs,
        )
    with pytest.raises(UnsupportedModelError, match="the shape of the weight is not known"):
        lowered("DeformConv", inputs(PLAIN), PLAIN, dynamic={"weight0"})


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("attrs", [GEOMETRIES[1], GEOMETRIES[3]])
def test_tensorrt(dtype, attrs, lowered, builds) -> None:
    given = inputs(attrs, dtype=dtype)
    free = {"x0", "offset0", "mask0"}
    builds(lowered("DeformConv", given, attrs, dynamic=free, constants=("weight", "bias")), given)
