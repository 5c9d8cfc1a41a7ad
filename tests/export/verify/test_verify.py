"""Verification fails faulty variants and passes correct ones, with real sessions."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from attnexport.errors import StageError
from attnexport.export.progress import Silent
from attnexport.export.reference.torch_model import TorchOriginal
from attnexport.export.verify.cases import build_cases, draws
from attnexport.export.verify.variant import Variant
from attnexport.export.verify.verify import Criteria, ParityResult, verify
from attnexport.runtime.inputs.samples import Samples
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

INPUTS = (TensorSpec("x", "float32", (Axis(1, 4, 8, "batch"), Axis.fixed(6))),)
OUTPUTS = (TensorSpec("logits", "float32", (Axis(1, 4, 8, "batch"), Axis.fixed(3))),)


@pytest.fixture(scope="module")
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(6, 3).eval()


def samples(count: int = 20) -> Samples:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((count, 6)).astype(np.float32)
    return Samples({"x": x}, rng.integers(0, 3, count))


def model(
    linear: nn.Linear, *, weight: float = 1.0, tail: str = "", name: str = "logits", to: int = TensorProto.FLOAT
) -> bytes:
    """The linear layer as ONNX; ``weight`` scales the weights, ``tail`` is one more operator on the result."""
    w = linear.weight.detach().numpy() * np.float32(weight)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["g"], transB=1)]
    constants = [numpy_helper.from_array(w, "w"), numpy_helper.from_array(linear.bias.detach().numpy(), "b")]
    if tail == "nan":
        constants.append(numpy_helper.from_array(np.float32("nan"), "c"))
    elif tail == "inf":
        constants.append(numpy_helper.from_array(np.float32("inf"), "c"))
    elif tail == "zero":
        constants.append(numpy_helper.from_array(np.float32(0), "c"))
    if tail == "flatten":
        nodes.append(helper.make_node("Flatten", ["g"], ["h"], axis=0))
    else:
        op = "Add" if tail in ("nan", "inf") else "Mul"
        if tail:
            nodes.append(helper.make_node(op, ["g", "c"], ["h"]))
        else:
            nodes.append(helper.make_node("Identity", ["g"], ["h"]))
    nodes.append(helper.make_node("Cast", ["h"], [name], to=to))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info(name, to, ["rows", "columns"])],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def judge(
    linear: nn.Linear, exported: bytes, *, factor: float = 2.0, task: str | None = "classification"
) -> ParityResult:
    form = Variant("onnx-fp32", "model.onnx", "float32", OrtSession(exported))
    original = TorchOriginal(linear, ["x"], ["logits"])
    return verify(original, [form], build_cases(INPUTS, samples(), 0), Criteria(OUTPUTS, task, factor), Silent())


def test_a_faithful_export_passes_with_its_figures(linear: nn.Linear) -> None:
    result = judge(linear, model(linear))
    assert not result.failures
    (record,) = result.records
    assert (record.stage, record.file, record.output) == ("onnx-fp32", "model.onnx", "logits")
    assert record.gate.passed
    assert 0 < record.gate.ratio <= 2.0
    assert set(record.detail["parts"]) == {"random", "samples", "golden"}
    # 1 + 4 + 8 random rows; 20 samples by eights and by fours, the first 16 one by one; 3 logits each
    assert record.figures.count == 3 * (13 + 56)
    top = record.detail["top1"]
    assert (top["count"], top["agreement"], top["of"]) == (56, 1.0, "samples")
    assert top["accuracy"] == top["original_accuracy"]


def test_golden_cases_hold_inputs_and_fp64_truth(linear: nn.Linear) -> None:
    golden = judge(linear, model(linear)).golden
    assert [case.name for case in golden] == ["random-min", "random-opt", "random-max", "samples-8-0"]
    for case in golden:
        w, b = (p.detach().numpy().astype(np.float64) for p in (linear.weight, linear.bias))
        assert case.reference["logits"].dtype == np.float64
        np.testing.assert_allclose(case.reference["logits"], case.feeds["x"].astype(np.float64) @ w.T + b, rtol=1e-13)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"weight": 1.0001}, "x PyTorch's FP32 error; the limit is "),
        ({"weight": -1.0}, "predicts another class than the original"),
        ({"tail": "nan"}, "holds 3 NaN of 3 values"),
        ({"tail": "inf"}, "holds 3 Inf of 3 values"),
        ({"tail": "zero"}, "is all zeros and the reference is not"),
        ({"tail": "flatten"}, "has shape"),
        ({"name": "scores"}, "output 'logits' of onnx-fp32 is missing"),
        ({"to": TensorProto.DOUBLE}, "has dtype float64 and must have float32"),
    ],
    ids=["wrong weight", "another class", "NaN", "Inf", "all zeros", "shape", "name", "dtype"],
)
def test_each_fault_fails_with_its_own_message(linear: nn.Linear, fault: dict[str, object], said: str) -> None:
    result = judge(linear, model(linear, **fault))  # type: ignore[arg-type]
    assert any(said in failure for failure in result.failures), result.failures


def test_an_error_on_samples_is_not_hidden_by_larger_random_inputs(linear: nn.Linear) -> None:
    """A small additive fault: negligible over inputs a thousand times larger, plain on the samples."""
    shifted = onnx.load_from_string(model(linear))
    bias = next(t for t in shifted.graph.initializer if t.name == "b")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(1e-4), "b"))
    cases = build_cases(INPUTS, samples(), 0)
    loud = [c if c.kind == "samples" else type(c)(c.name, c.kind, {"x": c.feeds["x"] * 1e4}, None, True) for c in cases]
    form = Variant("onnx-fp32", "model.onnx", "float32", OrtSession(shifted.SerializeToString()))
    result = verify(TorchOriginal(linear, ["x"], ["logits"]), [form], loud, Criteria(OUTPUTS, None, 2.0), Silent())
    assert len(result.failures) == 1
    assert "on samples inputs" in result.failures[0]


def test_an_original_that_is_not_finite_is_the_users_matter() -> None:
    class Log(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.log()

    form = Variant("onnx-fp32", "model.onnx", "float32", OrtSession(model(nn.Linear(6, 3))))
    with pytest.raises(StageError, match="the original model returns NaN or Inf in 'logits' on random-min"):
        original = TorchOriginal(Log(), ["x"], ["logits"])
        verify(original, [form], build_cases(INPUTS, None, 0), Criteria(OUTPUTS, None, 2.0), Silent())


def test_progress_reaches_the_end(linear: nn.Linear) -> None:
    class Heard(Silent):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[float] = []

        def progress(self, done: float, text: str) -> None:
            self.seen.append(done)

    heard = Heard()
    form = Variant("onnx-fp32", "model.onnx", "float32", OrtSession(model(linear)))
    verify(
        TorchOriginal(linear, ["x"], ["logits"]),
        [form],
        build_cases(INPUTS, None, 0),
        Criteria(OUTPUTS, None, 2.0),
        heard,
    )
    assert heard.seen == sorted(heard.seen)
    assert heard.seen[-1] == 1.0


@pytest.mark.parametrize(
    ("axes", "expected"),
    [((Axis.fixed(1000),), 1), ((Axis(1, 4, 16, "batch"), Axis.fixed(40)), 3), ((Axis(1, 2, 4, "batch"),), 8)],
)
def test_small_outputs_get_more_random_draws(axes: tuple[Axis, ...], expected: int) -> None:
    large = TensorSpec("map", "float32", (Axis.fixed(10_000),))
    assert draws([large, TensorSpec("y", "float32", axes)]) == expected


def test_repeated_draws_differ_and_have_names_of_their_own() -> None:
    cases = build_cases(INPUTS, None, 0, repeats=3)
    assert [c.name for c in cases][:4] == ["random-min-0", "random-opt-0", "random-max-0", "random-min-1"]
    seen = {c.feeds["x"].tobytes() for c in cases}
    assert len(seen) == 9


def test_golden_cases_keep_to_their_budget_beyond_the_first_of_every_point() -> None:
    wide = (TensorSpec("x", "float32", (Axis(1, 2, 4, "batch"), Axis.fixed(300_000))),)
    cases = build_cases(wide, None, 0, repeats=2)
    assert [c.golden for c in cases] == [True, True, True, False, False, False]
    huge = (TensorSpec("x", "float32", (Axis(1, 2, 3, "batch"), Axis.fixed(9_000_000))),)
    assert [c.golden for c in build_cases(huge, None, 0)] == [True, False, False], "one case is always stored"
