"""deform_conv_native: the standard operator from opset 19 on, where every target has it."""

from __future__ import annotations

import numpy as np
import pytest

RTX = (
    "TensorRT-RTX: TensorRT's parser refuses DeformConv node 'probed': the operator is not a standard one, "
    "and no TensorRT plugin of that name is there"
)
ATTRS = {"group": 2, "offset_group": 2, "dilation": [1, 2], "pads": [1, 2, 1, 2], "stride": [1, 1]}


def inputs(extra=("mask", "bias")) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {
        "x": rng.standard_normal((2, 4, 6, 7)),
        "weight": rng.standard_normal((6, 2, 3, 3)),
        "offset": 2 * rng.standard_normal((2, 36, 6, 7)),
        "mask": rng.random((2, 18, 6, 7)),
        "bias": rng.standard_normal(6),
    }
    return {k: v.astype(np.float32) for k, v in found.items() if k in ("x", "weight", "offset", *extra)}


@pytest.mark.parametrize("extra", [(), ("mask",), ("mask", "bias")], ids=str)
def test_opset_19(extra, lowered) -> None:
    given = inputs(extra)
    form = lowered("DeformConv", given, ATTRS, dynamic={"x0", "offset0", "mask0"}, targets=["ort"], opset=19)
    assert form.applied.lowering == "deform_conv_native"
    assert form.applied.refused["deform_conv_gather"].startswith("valid, but slower")
    form.check(given, atol=2e-5)


@pytest.mark.parametrize(
    ("targets", "opset", "reason"),
    [
        (["ort"], 18, "opset 18 has no DeformConv: it came with 19"),
        (["ort", "tensorrt-rtx"], 19, RTX),
    ],
)
def test_refusals(targets, opset, reason, lowered) -> None:
    given = inputs()
    form = lowered("DeformConv", given, ATTRS, dynamic={"x0", "offset0", "mask0"}, targets=targets, opset=opset)
    assert form.applied.lowering == "deform_conv_gather"
    assert form.applied.refused == {"deform_conv_native": reason}
    form.check(given, atol=2e-5)
