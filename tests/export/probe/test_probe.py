"""Probing: each case is a valid model with a finite answer, backends are judged against it, and nothing passes by accident."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from attnexport.errors import InputError, MissingBackendError
from attnexport.export import probe as probing
from attnexport.export.engine import find_flavour
from attnexport.export.probe import cases, differences, keep, probe
from attnexport.export.probe.backends import OrtProbe, TensorRTProbe
from attnexport.export.probe.case import ProbeCase, judge
from attnexport.export.progress import Silent, StageRun
from attnexport.export.targets import Row
from attnexport.export.targets.matrix import SHIPPED, load, shipped

ALL = list(cases())
REQUIRED = {
    "GridSample", "Col2Im", "AffineGrid", "ScatterND", "ScatterElements", "Attention", "RotaryEmbedding",
    "RMSNormalization", "LayerNormalization", "Resize", "DeformConv", "Conv", "ConvTranspose", "Einsum", "TopK",
    "CumSum", "GatherElements", "Loop", "If", "Pad", "Softmax",
}  # fmt: skip


def case_of(op: str, **facts) -> ProbeCase:
    return next(case for case in ALL if case.op == op and facts.items() <= case.facts.items())


def test_the_operators_that_lowerings_depend_on_are_all_measured() -> None:
    assert {case.op for case in ALL} == REQUIRED
    keys = [(case.op, case.opset, *sorted(case.facts.items())) for case in ALL]
    assert len(set(keys)) == len(keys)
    heads = {case.facts["head_size"] for case in ALL if case.op == "Attention"}
    assert {8, 16, 64, 256, 512} <= heads
    assert {case.facts["dtype"] for case in ALL if case.op == "Attention"} == {"float32", "float16", "bfloat16"}


@pytest.mark.parametrize("case", [case for case in ALL if case.facts["dtype"] == "float32"], ids=lambda case: case.name)
def test_a_case_is_a_valid_model_with_an_answer(case) -> None:
    onnx.checker.check_model(case.model, full_check=True)
    assert [entry.version for entry in case.model.opset_import] == [case.opset]
    assert np.isfinite(case.expected).all() and np.abs(case.expected).max() > 0.1


def test_every_fp32_operator_is_right_on_the_cpu() -> None:
    backend = OrtProbe("CPUExecutionProvider")
    for case in (case for case in ALL if case.facts["dtype"] == "float32"):
        outcome = backend.measure(case)
        assert outcome.status == "ok", (case.name, outcome)
        assert outcome.how == "ran" and outcome.error is not None and outcome.error < 2e-5


def test_what_the_cpu_computes_in_fp32_is_said() -> None:
    outcome = OrtProbe("CPUExecutionProvider").measure(case_of("GridSample", dtype="float16", rank=4))
    assert (outcome.status, outcome.reason) == ("ok", "computed in FP32 between casts")


def test_what_the_cpu_refuses_fails_with_its_reason() -> None:
    outcome = OrtProbe("CPUExecutionProvider").measure(case_of("GridSample", dtype="bfloat16"))
    assert outcome.status == "fails" and outcome.error is None
    assert "tensor(bfloat16)" in outcome.reason and "[ONNXRuntimeError]" not in outcome.reason


def test_a_node_on_another_provider_is_slow() -> None:
    backend = OrtProbe("CUDAExecutionProvider")
    node = {"op_name": "GridSample", "provider": "CPUExecutionProvider", "input_type_shape": [{"float": [1]}]}
    around = {"op_name": "Cast", "provider": "CPUExecutionProvider", "input_type_shape": []}
    case = case_of("GridSample", dtype="float32")
    profile = [{"cat": "Node", "args": args} for args in (around, node)]
    assert backend._placement(case, profile) == ("slow", "runs on CPU, not on the device")
    node["provider"] = "CUDAExecutionProvider"
    assert backend._placement(case, profile) is None


def test_judging() -> None:
    case = case_of("Softmax", dtype="float32")
    good = case.expected.astype(np.float32)
    assert judge(case, good, "ran").status == "ok"
    assert judge(case, good[:1], "ran").reason == "the output is (1, 3, 40), not (2, 3, 40)"
    assert judge(case, good + 1e-3, "ran").status == "wrong"
    assert judge(case, np.full_like(good, np.nan), "ran").reason == "the output is not finite"
    assert judge(case, np.zeros_like(good), "ran").reason == "error 1 of the largest value"


def test_a_wrong_backend_is_caught() -> None:
    case = case_of("Resize", antialias=1, dtype="float32")
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    attributes = model.graph.node[0].attribute
    for attribute in [entry for entry in attributes if entry.name in ("antialias", "exclude_outside")]:
        attributes.remove(attribute)
    outcome = OrtProbe("CPUExecutionProvider").measure(replace(case, model=model))
    assert outcome.status == "wrong" and outcome.reason.startswith("error ")


@pytest.mark.parametrize(
    ("op", "facts", "status", "said"),
    [
        ("GridSample", {"dtype": "bfloat16", "mode": "cubic"}, "ok", ""),
        ("GridSample", {"grid_dtype": "float32", "dtype": "float16"}, "fails", "must be of same type"),
        ("Col2Im", {"dtype": "float32"}, "fails", "the operator is not supported"),
        ("Conv", {"dtype": "float16", "free": 1}, "ok", ""),
        ("Attention", {"dtype": "float32", "head_size": 8}, "ok", ""),
    ],
)
def test_tensorrt_builds_or_says_why_not(op, facts, status, said, capfd) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'attnexport[rtx]'")
    outcome = TensorRTProbe(find_flavour("rtx")).measure(case_of(op, **facts))
    assert outcome.status == status
    assert said in outcome.reason
    assert capfd.readouterr().err == ""


class Listening(Silent):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.records: list[StageRun] = []

    def progress(self, done: float, text: str) -> None:
        self.said.append(f"{done:.2f} {text}")

    def finished(self, record: StageRun) -> None:
        self.records.append(record)


def test_probing_reports_as_it_goes() -> None:
    reporter = Listening()
    (found,) = probe("cpu", reporter, only={"Softmax", "CumSum"})
    assert found.matrix.target == "ort-cpu" and found.library.startswith("onnxruntime ")
    assert [row.op for row in found.matrix.rows] == ["Softmax", "Softmax", "CumSum", "CumSum"]
    assert reporter.said[1] == "0.25 Softmax dtype=float16"
    (record,) = reporter.records
    assert record.detail == f"{found.library}: 4 cases, 4 ok"
    assert found.to_json()["rows"][0]["status"] == "ok"


def test_what_cannot_be_measured_here(monkeypatch) -> None:
    with pytest.raises(InputError, match="target vulkan is not known"):
        probe("vulkan", Silent())
    monkeypatch.setattr(probing, "cuda_device", lambda: None)
    with pytest.raises(MissingBackendError, match="ort-cuda cannot be measured here: "):
        probe("ort-cuda", Silent())
    reporter = Silent()
    found = probe(["ort"], reporter, only={"Softmax"})
    assert [one.matrix.target for one in found] == ["ort-cpu"]
    assert reporter.notes[0].startswith("ort-cuda is not measured: ")


def test_only_what_differs_is_a_difference(monkeypatch) -> None:
    (found,) = probe("ort-cpu", Silent(), only={"Softmax"})
    assert differences([found]) == []
    worse = [replace(row, status="fails", reason="gone") for row in found.matrix.rows[:1]]
    changed = replace(found, matrix=found.matrix.updated(worse))
    (difference,) = differences([changed])
    assert difference.here.status == "fails"
    assert isinstance(difference.shipped, Row) and difference.shipped.status == "ok"
    assert difference.to_json()["shipped"]["op"] == "Softmax"


def test_a_measurement_is_kept_beside_the_rest(tmp_path) -> None:
    (found,) = probe("ort-cpu", Silent(), only={"Softmax"})
    new = tmp_path / "new.json"
    keep([found], new)
    assert load(new) == {"ort-cpu": found.matrix}
    old = tmp_path / "old.json"
    old.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    keep([found], old)
    merged = load(old)
    assert [matrix.target for matrix in merged.values()] == [matrix.target for matrix in shipped().values()]
    assert len(merged["ort-cpu"].rows) == len(shipped()["ort-cpu"].rows)
    assert all(row in merged["ort-cpu"].rows for row in found.matrix.rows)
