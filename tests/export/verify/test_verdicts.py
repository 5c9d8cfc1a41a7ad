"""Verdicts beyond the ratio: models on which PyTorch itself is far off, and outputs that are choices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import numpy_helper, parser
from torch import nn

import attnexport
from attnexport.errors import ParityError
from attnexport.export.progress import Silent
from attnexport.export.reference.original import Precision
from attnexport.export.reference.torch_model import TorchOriginal
from attnexport.export.verify.cases import ParityCase, build_cases
from attnexport.export.verify.selections import find_selections
from attnexport.export.verify.variant import Variant
from attnexport.export.verify.variant_errors import Criteria
from attnexport.export.verify.verify import ParityResult, verify
from attnexport.runtime.bundle.bundle import StoredBundle
from attnexport.runtime.check.check import check
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 4, 16, "batch")
INPUTS = (TensorSpec("x", "float32", (BATCH, Axis.fixed(64))),)


class Cancellation(nn.Module):
    """FP32 keeps only 1/16 next to 1e6."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 1e6) - 1e6


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.block = nn.Sequential(nn.ReLU(), Cancellation(), nn.Linear(64, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.block(self.first(x))
        return result


def _judged(
    module: nn.Module, model: onnx.ModelProto, outputs: list[TensorSpec], *, allow_unstable: bool = False
) -> ParityResult:
    variant = Variant("onnx-fp32", "model.onnx", "float32", OrtSession(model.SerializeToString()))
    original = TorchOriginal(module, ["x"], [spec.name for spec in outputs])
    selections = find_selections(onnx.shape_inference.infer_shapes(model), INPUTS, outputs)
    criteria = Criteria(tuple(outputs), None, 2.0, selections=selections, allow_unstable=allow_unstable)
    return verify(original, [variant], build_cases(INPUTS, None, 0), criteria, Silent())


@pytest.fixture(scope="module")
def unstable() -> tuple[Net, onnx.ModelProto]:
    torch.manual_seed(0)
    net = Net().eval()
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 18]>
        net (float[batch, 64] x) => (float[batch, 64] y)
        <float large = {1000000.0}>
        { a = Gemm <transB = 1> (x, w0, b0)
          b = Relu (a)
          c = Add (b, large)
          d = Sub (c, large)
          y = Gemm <transB = 1> (d, w1, b1) }""")
    last = net.block[2]
    assert isinstance(last, nn.Linear)
    for i, layer in enumerate((net.first, last)):
        model.graph.initializer.append(numpy_helper.from_array(layer.weight.detach().numpy(), f"w{i}"))
        model.graph.initializer.append(numpy_helper.from_array(layer.bias.detach().numpy(), f"b{i}"))
    return net, model


Y = [TensorSpec("y", "float32", (BATCH, Axis.fixed(64)))]


def test_a_model_that_pytorch_itself_computes_badly_is_no_pass(unstable: tuple[Net, onnx.ModelProto]) -> None:
    result = _judged(*unstable, Y)
    (failure,) = result.failures
    (record,) = result.records
    assert (record.gate.passed, record.gate.verdict) == (True, "unstable")
    assert record.gate.torch_relative > 1e-2
    assert failure.startswith("output 'y' is unstable in FP32: PyTorch's FP32 error is ")
    assert "; it begins in module block.1" in failure
    assert failure.endswith("accept it with --allow-unstable")


def test_an_operation_of_the_outermost_module_is_named_as_such(unstable: tuple[Net, onnx.ModelProto]) -> None:
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 18]>
        net (float[batch, 64] x) => (float[batch, 64] y)
        <float large = {1000000.0}> { c = Add (x, large)  y = Sub (c, large) }""")
    (failure,) = _judged(Cancellation(), model, Y).failures
    assert "; it begins in the outermost module; accept it with --allow-unstable" in failure


def test_an_unstable_output_can_be_accepted_and_keeps_its_verdict(unstable: tuple[Net, onnx.ModelProto]) -> None:
    result = _judged(*unstable, Y, allow_unstable=True)
    assert result.failures == ()
    assert result.records[0].gate.verdict == "unstable"


def test_the_module_before_the_cancellation_is_stable(unstable: tuple[Net, onnx.ModelProto]) -> None:
    net, model = unstable
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    del cut.graph.node[2:]
    cut.graph.node[1].output[0] = "y"
    result = _judged(nn.Sequential(net.first, nn.ReLU()), cut, Y)
    assert (result.failures, result.records[0].gate.verdict) == ((), "pass")


class Top(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        score, index = x.topk(8)
        return score, index, index.to(x.dtype) * 2 + 1


TOP_OUTPUTS = [
    TensorSpec("score", "float32", (BATCH, Axis.fixed(8))),
    TensorSpec("index", "int64", (BATCH, Axis.fixed(8))),
    TensorSpec("place", "float32", (BATCH, Axis.fixed(8))),
]
TOP = """<ir_version: 10, opset_import: ["" : 18]>
    net (float[batch, 64] x) => (float[batch, 8] score, int64[batch, 8] index, float[batch, 8] place)
    <int64[1] k = {8}, float two = {2.0}, float one = {1.0}>
    { %s
      number = Cast <to = 1> (index)
      twice = Mul (number, two)
      place = Add (twice, one) }"""
SELECT = "score, index = TopK (x, k)"
ORDERED = "low, order = TopK <largest = 0> (best, k)  score = Identity (low)  index = GatherElements <axis = 1> (first, order)"


@pytest.mark.parametrize(
    ("select", "passes"),
    [
        (SELECT, True),
        ("score, index = TopK <largest = 0> (x, k)", False),
        (f"best, first = TopK (x, k) {ORDERED}", False),
        ("top, at = TopK (x, k)  score = Identity (top)  one_more = Constant <value_int = 1> ()  index = Add (at, one_more)", False),
    ],
    ids=["faithful", "the smallest", "the other order", "indices off by one"],
)  # fmt: skip
def test_a_top_k_that_picks_or_orders_otherwise_fails(select: str, passes: bool) -> None:
    result = _judged(Top(), parser.parse_model(TOP % select), TOP_OUTPUTS)
    assert bool(result.failures) is not passes
    assert {record.output: record.gate.passed for record in result.records}["place"] is passes
    if passes:
        for record in result.records:
            assert record.agreement is not None and record.agreement.share == 1.0


def test_near_equal_scores_may_change_places() -> None:
    """Scores that FP32 rounds to the same value, computed in another order than PyTorch's."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((64, 64), 0.1) + 1e-7 * torch.randn(64, 64))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            score, index = (x @ self.weight).topk(8)
            return score, index, index.to(x.dtype) * 2 + 1

    torch.manual_seed(1)
    module = Sum()
    model = parser.parse_model(TOP % "s = MatMul (x, w)  score, index = TopK (s, k)")
    model.graph.initializer.append(numpy_helper.from_array(module.weight.detach().numpy(), "w"))
    result = _judged(module, model, TOP_OUTPUTS)
    index = next(record for record in result.records if record.output == "index")
    assert index.agreement is not None
    assert index.agreement.equal < index.agreement.count, "the case is too easy"
    assert (index.gate.passed, result.failures) == (True, ())


class Labels(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.reshape(-1, 8, 8).argmax(1), x > 0.5


@pytest.mark.parametrize(
    ("largest", "threshold", "failed"),
    [("ArgMax", 0.5, set()), ("ArgMin", 0.5, {"label"}), ("ArgMax", 0.7, {"mask"})],
)
def test_labels_and_masks_are_judged_by_the_share_that_agrees(largest: str, threshold: float, failed: set[str]) -> None:
    model = parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 18]>
        net (float[batch, 64] x) => (int64[batch, 8] label, bool[batch, 64] mask)
        <int64[3] shape = {{-1, 8, 8}}, float half = {{{threshold}}}>
        {{ rows = Reshape (x, shape)
           label = {largest} <axis = 1, keepdims = 0> (rows)
           mask = Greater (x, half) }}""")
    outputs = [
        TensorSpec("label", "int64", (BATCH, Axis.fixed(8))),
        TensorSpec("mask", "bool", (BATCH, Axis.fixed(64))),
    ]
    result = _judged(Labels(), model, outputs)
    assert {record.output for record in result.records if not record.gate.passed} == failed
    for record in result.records:
        assert record.agreement is not None
        assert (record.agreement.share == 1.0) is (record.output not in failed)
    assert all("agree, and PyTorch in FP32 100.0% agree" in failure for failure in result.failures)


class Twins(nn.Module):
    """Each score has a twin that is larger by a share of it: by 2e-4, less than half an ulp of FP16, or by more."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x + self.share * x.abs()], 1).argmax(1)


@pytest.mark.parametrize(
    ("precision", "label", "share", "passes"),
    [
        ("float16", "best", 2e-4, True),  # the other twin
        ("float16", "next", 2e-4, False),  # another score
        ("float16", "best", 2e-2, False),
        ("float32", "best", 2e-4, False),
        ("float32", "best", 1e-7, True),
    ],
)
def test_a_label_whose_score_is_as_large_but_for_rounding_is_a_tie(
    precision: Precision, label: str, share: float, passes: bool
) -> None:
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 18]>
        net (float[batch, 64] x) => (int64[batch] label)
        <int64 one = {1}>
        { best = ArgMax <axis = 1, keepdims = 0> (x)  next = Add (best, one)  label = Identity (best) }""")
    model.graph.node[-1].input[0] = label
    outputs = (TensorSpec("label", "int64", (BATCH,)),)
    variant = Variant("onnx", "model.onnx", precision, OrtSession(model.SerializeToString()))
    original = TorchOriginal(Twins(share), ["x"], ["label"])
    result = verify(original, [variant], build_cases(INPUTS, None, 0), Criteria(outputs, None, 2.0), Silent())
    (record,) = result.records
    assert record.agreement is not None and record.agreement.equal == 0
    assert record.gate.passed is passes
    assert not result.failures or not passes
    assert (record.agreement.ties == record.agreement.count) is passes


def test_ties_of_labels_are_stored_for_check(tmp_path: Path) -> None:
    """PyTorch's autocast leaves the scores in FP32, and the FP16 model rounds them."""
    x = {"x": torch.randn(2, 64, generator=torch.Generator().manual_seed(0))}
    attnexport.export(Twins(2e-4), x, out=tmp_path / "net.attn", precision="fp16")
    bundle = StoredBundle.open(tmp_path / "net.attn")
    assert all(case.ties["output"].gap.min() > 0 for case in bundle.golden())
    ties = {r.stage: r.agreement.ties for r in bundle.manifest.parity if r.agreement is not None}
    assert ties["onnx-fp32"] == 0 and ties["emulated-fp16"] > 0
    result = check(tmp_path / "net.attn")
    assert [row.verdict for row in result.rows] == ["passed"] * len(result.rows)


def test_more_inputs_are_drawn_while_the_limit_lies_in_the_interval() -> None:
    """The limit is set to just below the ratio of an honest export; further cases are compared, and not stored."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(64, 64), nn.Tanh()).eval()
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 18]>
        net (float[batch, 64] x) => (float[batch, 64] y) { z = Gemm <transB = 1> (x, w, b)  y = Tanh (z) }""")
    linear = layer[0]
    assert isinstance(linear, nn.Linear)
    for name, parameter in (("w", linear.weight), ("b", linear.bias)):
        model.graph.initializer.append(numpy_helper.from_array(parameter.detach().numpy(), name))
    variant = Variant("onnx-fp32", "model.onnx", "float32", OrtSession(model.SerializeToString()))
    original, cases = TorchOriginal(layer, ["x"], ["y"]), build_cases(INPUTS, None, 0)
    rounds: list[int] = []

    def more(number: int) -> list[ParityCase]:
        rounds.append(number)
        return [replace(case, golden=False) for case in build_cases(INPUTS, None, 77 + number, 4)]

    def judged(factor: float) -> ParityResult:
        return verify(original, [variant], cases, Criteria(tuple(Y), None, factor), Silent(), more=more)

    (record,) = judged(100.0).records
    assert rounds == []
    assert record.gate.low is not None and record.gate.low < record.gate.ratio
    result = judged((record.gate.low + record.gate.ratio) / 2)
    assert rounds == list(range(len(rounds))) and rounds
    assert [case.name for case in result.golden] == [case.name for case in cases if case.golden]
    assert result.records[0].figures.count > record.figures.count


def test_an_unstable_export_is_refused_or_accepted_and_checked_alike(tmp_path: Path) -> None:
    options: dict[str, Any] = {"out": tmp_path / "net.attn", "precision": "fp32"}
    torch.manual_seed(0)
    net, x = Net().eval(), {"x": torch.randn(2, 64)}
    with pytest.raises(ParityError) as caught:
        attnexport.export(net, x, **options)
    assert "is unstable in FP32" in caught.value.problem
    assert caught.value.remedy == "nothing was written; inspect the bundle with --keep-failed"
    assert list(tmp_path.iterdir()) == []
    attnexport.export(net, x, **options, allow_unstable=True)
    assert [record.gate.verdict for record in StoredBundle.open(tmp_path / "net.attn").manifest.parity] == ["unstable"]
    assert not check(tmp_path / "net.attn").passed
    accepted = check(tmp_path / "net.attn", allow_unstable=True)
    assert accepted.passed
    assert [(row.verdict, row.reason.partition(" is ")[0]) for row in accepted.rows] == [
        ("unstable", "PyTorch's error")
    ]
