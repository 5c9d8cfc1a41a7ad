"""An error that ONNX Runtime's own kernel makes is told from one of the export."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from attnexport.export.options import read_options
from attnexport.export.pipeline import ExportResult, run
from attnexport.export.verify.graphs import run_once
from attnexport.export.verify.kernel import CANDIDATES, inexact_kernel

SQUASHES = """
import torch
from torch import nn


class Squashes(nn.Module):
    def __init__(self, times, scale):
        super().__init__()
        self.times, self.scale = times, scale

    def forward(self, x):
        y = x * self.scale
        for _ in range(self.times):
            y = torch.tanh(y)
        return y
"""


def squashes(times: int, factor: float = 1.0) -> onnx.ModelProto:
    """x (N,) -> tanh(tanh(... x)) * factor."""
    names = ["x", *(f"t{i}" for i in range(times))]
    nodes = [helper.make_node("Tanh", [a], [b]) for a, b in pairwise(names)]
    nodes.append(helper.make_node("Mul", [names[-1], "factor"], ["y"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    weight = helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])
    graph = helper.make_graph(nodes, "squashes", ends[:1], ends[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def feeds() -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).normal(0, 0.01, 4096).astype(np.float32)}


def relative(error: float, truth: np.ndarray) -> float:
    return error / float(np.sqrt(np.mean(truth**2)))


def test_the_kernel_is_biased_where_pytorchs_is_not() -> None:
    """What the file says of the kernel; where this fails, ONNX Runtime has a better one, and the file can go."""
    x = feeds()["x"]
    truth = np.tanh(x.astype(np.float64))
    bias = float(np.mean(run_once(squashes(1), {"x": x})["y"] / truth)) - 1
    assert bias == pytest.approx(-1.28e-7, rel=0.3)
    assert abs(float(np.mean(torch.tanh(torch.from_numpy(x)).numpy() / truth)) - 1) < 1e-8


def test_in_fp64_the_function_leaves_its_results_rounding() -> None:
    x = feeds()
    truth = x["x"].astype(np.float64)
    for _ in range(30):
        truth = np.tanh(truth)
    given = float(np.sqrt(np.mean((run_once(squashes(30), x)["y"] - truth) ** 2)))
    assert relative(given, truth) > 2e-6
    cause = inexact_kernel(squashes(30), "y", x, truth, given / 4)
    assert cause is not None
    assert cause.operator == "Tanh"
    assert relative(cause.rms, truth) < 3e-7


def test_an_error_of_another_operator_stays() -> None:
    x = feeds()
    assert inexact_kernel(squashes(1, factor=1.001), "y", x, np.tanh(x["x"].astype(np.float64)), 1e-7) is None


def test_a_model_without_the_function_says_nothing() -> None:
    nothing = squashes(0)
    nothing.graph.node[0].op_type = "Max"
    assert inexact_kernel(nothing, "y", feeds(), feeds()["x"] + 1.0, 0.5) is None
    # With nothing wrong, the first candidate in the graph is enough.
    assert inexact_kernel(squashes(1), "y", feeds(), np.tanh(feeds()["x"].astype(np.float64)), 1.0) is not None


@pytest.mark.parametrize("operator", CANDIDATES)
def test_each_candidate_has_a_kernel_for_fp64(operator: str) -> None:
    """The FP64 kernel replaces the FP32 one: an error below FP32's rounding shows that it ran."""
    x = np.random.default_rng(1).uniform(0.1, 0.9, (8, 8)).astype(np.float32)
    inputs = {"LayerNormalization": ["x", "one"], "CumSum": ["x", "axis"], "Einsum": ["x", "x"], "Gemm": ["x", "x"]}
    inputs["GridSample"] = ["x", "grid"]
    two = operator in ("Pow", "Div", "MatMul", "Mul", "Add", "Sub")
    node = helper.make_node(operator, inputs.get(operator, ["x", "x"] if two else ["x"]), ["y"])
    if operator == "Einsum":
        node.attribute.append(helper.make_attribute("equation", "ij,jk->ik"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    shape = (1, 1, 8, 8) if operator == "GridSample" else (8, 8)
    x = x.reshape(shape)
    ends[0].type.tensor_type.shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=size) for size in shape)
    constants = [
        helper.make_tensor("one", TensorProto.FLOAT, [8], [1.0] * 8),
        helper.make_tensor("axis", TensorProto.INT64, [], [0]),
        helper.make_tensor("grid", TensorProto.FLOAT, [1, 1, 2, 2], [0.1, 0.3, -0.6, 0.7]),
    ]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    result = run_once(model, {"x": x})["y"]
    allowed = float(np.sqrt(np.mean(result.astype(np.float64) ** 2))) * 1e-6
    cause = inexact_kernel(model, "y", {"x": x}, result, allowed)
    assert cause is not None
    assert cause.operator == operator


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ExportResult]:
    monkeypatch.chdir(tmp_path)
    Path("squashes_net.py").write_text(SQUASHES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "squashes_net", raising=False)

    def run_it(kwargs: str) -> ExportResult:
        return run(
            read_options(
                model=None, factory="squashes_net:Squashes", kwargs=kwargs, random_weights=True, workspace=None, trt=None,
                inputs=["x=2x64"], out=tmp_path / "net.attn", precision="fp32", keep_failed=True, gate=2.0,
            )
        )  # fmt: skip

    return run_it


def test_a_failed_gate_names_the_kernel_and_what_is_left_without_it(export: Callable[..., ExportResult]) -> None:
    result = export('{"times": 30, "scale": 0.01}')
    (found,) = result.manifest.attribution
    assert found.blame is not None
    assert found.blame.stage == "capture"
    assert found.blame.detail.startswith("ONNX Runtime's Tanh on the CPU; with Tanh in FP64 the error is ")
    assert float(found.blame.detail.split()[-1].rstrip("x")) <= 2
    assert any(text.endswith(found.blame.describe()) for text in result.failures)


def test_what_passes_blames_no_kernel(export: Callable[..., ExportResult]) -> None:
    result = export('{"times": 1, "scale": 1.0}')
    assert result.passed
    assert [entry.blame for entry in result.manifest.attribution] == [None]
