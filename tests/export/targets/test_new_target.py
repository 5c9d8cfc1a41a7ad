"""The recipe for a target: one entry in the table and one matrix make it usable everywhere, from ``--target`` to scan."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest
import torch
import torch.nn.functional as F
from recipes.npu import TARGET
from torch import nn

import attnexport
from attnexport.errors import InputError
from attnexport.export.lower.tune import Tuner
from attnexport.export.options import read_options
from attnexport.export.progress import Silent
from attnexport.export.scan.scan import scan
from attnexport.export.stages.rewrite import Plan
from attnexport.export.targets import refusal, resolve, target, timeable_targets, verdict


class Folded(nn.Module):
    def forward(self, cols: torch.Tensor) -> torch.Tensor:
        return F.fold(cols, (6, 6), 3, padding=1) + 1


COLS = torch.randn(1, 18, 36, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line added to the table."""
    monkeypatch.setattr(target, "TARGETS", (*target.TARGETS, TARGET))


@pytest.mark.usefixtures("table")
def test_words_and_fields() -> None:
    assert resolve("NPU") == resolve("npu-1") == ("npu-1",)
    assert timeable_targets() == ("ort-cpu", "ort-cuda", "npu-1")
    assert Plan.of("npu", None, "fp32") == Plan("npu-1", None)
    Tuner({}, "npu-1", Silent())


@pytest.mark.usefixtures("table")
def test_its_matrix_answers() -> None:
    assert verdict("npu-1", "Col2Im", opset=18, dtype="float32").measured == "ran, npu 1.0, 2026-11-30"
    assert refusal(["npu-1"], "DeformConv", opset=19) == "the made-up NPU: no DeformConv"
    assert verdict("npu-1", "Softmax", opset=18).reason == "Softmax was not measured on the made-up NPU"


@pytest.mark.parametrize("measured", [True, False], ids=["measured", "not measured"])
def test_lowering_chooses_by_its_matrix(measured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file on disk has the form that the matrices of all targets allow: Col2Im itself only if it was measured."""
    npu = TARGET if measured else dataclasses.replace(TARGET, matrix=target.SHIPPED)
    monkeypatch.setattr(target, "TARGETS", (target.TARGETS[0], npu))
    bundle = attnexport.export(
        Folded(), {"cols": COLS}, out=tmp_path / "folded.attn", static=True, precision="fp32", target="npu"
    )
    model = onnx.load(bundle.path / "model.onnx")
    assert ("Col2Im" in {node.op_type for node in model.graph.node}) is measured
    assert bundle.verify().passed


@pytest.mark.usefixtures("table")
def test_scan_looks_it_up(tmp_path: Path) -> None:
    model = tmp_path / "deform.onnx"
    x, weight, offset = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims)
        for name, dims in (("x", [1, 2, 4, 4]), ("weight", [2, 2, 3, 3]), ("offset", [1, 18, 4, 4]))
    )
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, 4, 4])
    node = onnx.helper.make_node("DeformConv", ["x", "weight", "offset"], ["y"], "deform", pads=[1, 1, 1, 1])
    graph = onnx.helper.make_graph([node], "deform", [x, weight, offset], [y])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)], ir_version=9), model)
    (finding,) = scan(read_options(model=model), ["npu"], Silent()).findings
    assert (finding.operator, finding.targets) == ("DeformConv", ("npu-1",))
    assert finding.reason == "sampled by gathers: the made-up NPU: no DeformConv"


def test_without_its_line_it_is_not_known() -> None:
    with pytest.raises(InputError, match="target npu is not known"):
        resolve("npu")
