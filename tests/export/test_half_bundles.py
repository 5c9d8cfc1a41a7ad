"""Bundles in BF16, and in FP16 with inputs and outputs of that type: files, stages, gates, and the check of them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from attnexport.export.options import ExportOptions
from attnexport.export.pipeline import run
from attnexport.runtime.check.check import check

MODEL = Path(__file__).parents[2] / "examples" / "digits_lrnet.pt"


@pytest.mark.parametrize(
    ("precision", "io", "stages", "border"),
    [
        ("bf16", "fp32", ["onnx-fp32", "emulated-bf16"], TensorProto.FLOAT),
        ("fp16", "same", ["onnx-fp32", "onnx-fp16", "emulated-fp16"], TensorProto.FLOAT16),
    ],
)
def test_a_bundle_of_another_type_passes_its_gates_and_its_check(tmp_path, precision, io, stages, border):
    options = ExportOptions(MODEL, out=tmp_path / "b.attn", precision=precision, io_precision=io)
    result = run(options)
    assert result.passed and result.bundle is not None
    model = onnx.load(result.bundle / f"model.{precision}.onnx")
    assert {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)} == {border}
    manifest = result.manifest
    assert [record.stage for record in manifest.parity] == stages
    name = {"bf16": "bfloat16", "fp16": "float16"}[precision]
    assert {record.precision for record in manifest.parity[1:]} == {name}
    assert manifest.files[f"model.{precision}.onnx"].role == f"model-{precision}"
    assert manifest.precision.counts[name] > 100
    assert [spec.dtype for spec in (*manifest.inputs, *manifest.outputs)] == ["float32", "float32"]
    checked = check(result.bundle)
    assert checked.passed and [row.stage for row in checked.rows] == stages
    assert checked.rows[-1].how == f"onnxruntime, CPU, rounded to {precision.upper()} after every node"
