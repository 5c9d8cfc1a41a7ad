"""Pools that round up, before opset 22: onnx infers a last window that begins behind the image, and nothing is refused for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.shape_inference import InferenceError

import attnexport
from attnexport.export.graph.model import check_model, inferred
from attnexport.export.lower import lower
from attnexport.export.targets import target_names
from attnexport.runtime.sessions.inferred import infer_light

POOL = "<kernel_shape = [1], strides = [2], ceil_mode = 1>"


def _model(op: str = "AveragePool", opset: int = 18, columns: int = 2) -> onnx.ModelProto:
    """Of 4 columns, the windows begin at 0 and 2; at 4 there is no column."""
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["" : {opset}]>
        net (float[2, 5, 4] x) => (float[2, 5, {columns}] y) <float[5] one = {{1, 1, 1, 1, 1}}>
        {{ a = {op} {POOL} (x)  y = InstanceNormalization (a, one, one) }}""")


@pytest.mark.parametrize("opset", [10, 18, 21])
@pytest.mark.parametrize("op", ["AveragePool", "MaxPool"])
def test_the_sizes_that_the_file_declares_hold(op: str, opset: int) -> None:
    model = _model(op, opset)
    with pytest.raises(InferenceError):
        onnx.shape_inference.infer_shapes(model, strict_mode=True)
    check_model(model)
    (output,) = inferred(model, strict=True).graph.output
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [2, 5, 2]
    assert lower(model, target_names()).model.graph.node


def test_other_contradictions_are_still_found() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        net (float[2, 4] x) => (float[2, 3] y) { y = Relu (x) }""")
    with pytest.raises(InferenceError):
        infer_light(model, strict=True)
    with pytest.raises(InferenceError):
        check_model(_model(opset=22, columns=3))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_file_is_exported(precision: str, tmp_path: Path) -> None:
    onnx.save(_model("MaxPool"), tmp_path / "pool.onnx")
    bundle = attnexport.export(tmp_path / "pool.onnx", precision=precision, out=tmp_path / "pool.attn")
    x = np.random.default_rng(4).standard_normal((2, 5, 4)).astype(np.float32)
    if precision == "bf16":  # raised to opset 22, and verified under emulation
        return
    with bundle.open(precision=precision) as session:
        y = session.run({"x": x})["y"]
    picked = x[:, :, ::2].astype(np.float64)
    centred = (picked - picked.mean(2, keepdims=True)) / np.sqrt(picked.var(2, keepdims=True) + 1e-5) + 1
    np.testing.assert_allclose(y, centred, atol=1e-5 if precision == "fp32" else 2e-2)
