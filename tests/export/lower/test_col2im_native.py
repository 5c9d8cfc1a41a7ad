"""col2im_native: the standard operator, for ONNX Runtime's CPU provider alone."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.domain import im2col

ATTRS = {"kernel": [3, 2], "dilation": [2, 1], "pads": [1, 0, 2, 3], "stride": [2, 1]}


def inputs(dtype=np.float32) -> dict[str, np.ndarray]:
    shape = im2col.reference(np.zeros((2, 3, 8, 9)), **ATTRS).shape
    cols = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    return {"cols": cols, "output_size": np.array([8, 9])}


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_the_cpu_takes_it(dynamic, lowered) -> None:
    form = lowered("Col2Im", inputs(), ATTRS, dynamic=dynamic, targets=["ort-cpu"])
    assert form.applied.lowering == "col2im_native"
    assert form.op_types() == {"Col2Im"}
    form.check(inputs(), atol=3e-6)


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (["ort"], "Col2Im was not measured on ONNX Runtime with CUDA"),
        (["ort-cpu", "tensorrt-10"], "TensorRT 10: the operator is not supported"),
    ],
)
def test_no_other_target_does(targets, reason, lowered) -> None:
    form = lowered("Col2Im", inputs(), ATTRS, targets=targets)
    assert form.applied.refused["col2im_native"] == reason
    assert "Col2Im" not in form.op_types()
