"""Sdpa as the operator Attention: at opset 23, where the matrix says so, with the value of the decomposed form."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import UnsupportedModelError
from attnexport.export.engine import EngineOptions, build_engine, find_flavour
from attnexport.export.progress import Silent
from attnexport.runtime.spec import Axis, TensorSpec

FORM = "sdpa_fused"
ATTRS = {"causal": 0, "groups": 1, "scale": 0.4}
RUN = {"only": FORM, "targets": ["ort-cpu", "tensorrt-rtx"], "opset": 23}


def draw(*, mask: str = "", dtype=np.float32, groups: int = 1, rows: int = 6, keys: int = 7, size: int = 16) -> dict:
    rng = np.random.default_rng(2)
    hidden = rng.random((1, 1, rows, keys)) < 0.4
    hidden[..., 1, :] = "empty" in mask
    floats = np.where(hidden, -np.inf, rng.standard_normal((4, rows, keys))).astype(dtype)
    return {
        "query": rng.standard_normal((2, 4, rows, size)).astype(dtype),
        "key": rng.standard_normal((2, 4 // groups, keys, size)).astype(dtype),
        "value": rng.standard_normal((2, 4 // groups, keys, size)).astype(dtype),
        "mask": floats if "float" in mask else None,
        "keep": ~hidden if "bool" in mask else None,
    }


@pytest.mark.parametrize("mask", ["", "float", "bool", "float empty", "bool empty", "float bool empty"])
def test_masks(mask, lowered) -> None:
    inputs = draw(mask=mask)
    form = lowered("Sdpa", inputs, ATTRS, dynamic=False, **RUN)
    form.check(inputs, 2e-6)
    assert "Attention" in form.op_types() and "Softmax" not in form.op_types()


@pytest.mark.parametrize(("rows", "keys"), [(6, 6), (4, 7), (9, 7)])
def test_causal_order(rows, keys, lowered) -> None:
    inputs = draw(rows=rows, keys=keys)
    lowered("Sdpa", inputs, ATTRS | {"causal": 1}, dynamic=False, **RUN).check(inputs, 2e-6)


@pytest.mark.parametrize(("groups", "scale"), [(2, 0.4), (4, 1.0), (1, -0.7)])
def test_groups_and_scales(groups, scale, lowered) -> None:
    inputs = draw(groups=groups)
    lowered("Sdpa", inputs, ATTRS | {"groups": groups, "scale": scale}, dynamic=False, **RUN).check(inputs, 5e-6)


def test_it_is_taken_where_it_may_be(lowered) -> None:
    inputs = draw()
    form = lowered("Sdpa", inputs, ATTRS, dynamic=False, targets=["ort-cpu"], opset=23)
    assert form.applied.lowering == FORM
    other = lowered("Sdpa", inputs, ATTRS, dynamic=False, opset=23)
    assert other.applied.lowering == "sdpa_decomposed"
    assert other.applied.refused[FORM] == (
        "Attention with dtype=float32, rank=4 was not measured on ONNX Runtime with CUDA"
    )


@pytest.mark.parametrize(
    ("inputs", "attrs", "changes", "said"),
    [
        (draw(), {}, {"opset": 18}, "the model is of opset 18, and Attention came with 23"),
        (draw(), {}, {"dynamic": True}, "the batch axes are not known to be the same"),
        (draw(mask="bool"), {"causal": 1}, {}, "a mask and causal order together are not measured"),
        (draw(keys=65505, rows=2), {}, {}, "65505 keys: the FP16 kernels' running sum ends at 65504"),
        (draw(), {}, {"targets": ["tensorrt-10"]}, "TensorRT 10: the operator comes with TensorRT 10.14"),
        (draw(), {}, {"targets": ["tensorrt-11"]}, "Attention with dtype=float32, rank=4 was not measured on TensorRT 11"),
        (draw(size=1024), {}, {}, "Attention with head_size=1024 was not measured on ONNX Runtime on the CPU"),
        (draw(dtype=np.float64), {}, {}, "Attention with dtype=float64, rank=4 was not measured on ONNX Runtime on the CPU"),
        (draw() | {"value": np.zeros((2, 4, 7, 8), np.float32)}, {}, {}, "query and value have 16 and 8 channels"),
        (draw() | {"keep": np.ones((1, 7), bool)}, {}, {}, "is not known to reach every one of [6, 7] scores"),
        ({n: None if v is None else v[0] for n, v in draw().items()}, {}, {}, "query has 3 axes, and Attention is written with 4"),
    ],
)  # fmt: skip
def test_it_says_why_not(inputs, attrs, changes, said, lowered) -> None:
    with pytest.raises(UnsupportedModelError) as raised:
        lowered("Sdpa", inputs, ATTRS | attrs, **({"dynamic": False} | RUN | changes))
    assert said in raised.value.problem


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_tensorrt_builds_it(dtype, lowered) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'attnexport[rtx]'")
    inputs = {name: value for name, value in draw(mask="bool", dtype=dtype, groups=2).items() if value is not None}
    form = lowered("Sdpa", draw(mask="bool", dtype=dtype, groups=2), ATTRS | {"groups": 2}, dynamic=False, **RUN)
    specs = [TensorSpec(name, str(x.dtype), tuple(map(Axis.fixed, x.shape))) for name, x in inputs.items()]
    assert len(build_engine(form.model, specs, find_flavour("rtx"), EngineOptions(), {}, Silent()).plan) > 10_000
