"""Who is to blame, from figures alone; which cases are measured; which models are one computation."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from attnexport.export.verify.blame import largest_step
from attnexport.export.verify.cases import ParityCase
from attnexport.export.verify.chains import same_computation
from attnexport.export.verify.measure import measured_cases
from attnexport.runtime.bundle.attribution import StepFigures
from attnexport.runtime.bundle.figures import Figures
from attnexport.runtime.bundle.stage import Stage


def _steps(**errors: tuple[float, float]) -> list[StepFigures]:
    return [
        StepFigures(Stage(stage), "float32", Figures(rms, rms, rms, 1.0, 1.0, 8), added, 1.0, rms, rms)
        for stage, (rms, added) in errors.items()
    ]


@pytest.mark.parametrize(
    ("steps", "stage"),
    [
        (_steps(capture=(0.9, 0.9), recognise=(0.9, 0.1), lower=(14.0, 14.0)), "lower"),
        (_steps(capture=(5.0, 5.0), recognise=(5.0, 0.1), lower=(5.0, 0.2), typed=(9.0, 7.0)), "capture"),
        # Beyond the gate already: what reordering adds behind it is as large, and not to blame.
        (_steps(capture=(2.5, 2.5), recognise=(2.6, 0.1), lower=(2.5, 3.5)), "capture"),
        # Within the gate still, but most of what fails behind it.
        (_steps(capture=(1.9, 1.9), recognise=(1.9, 0.0), lower=(1.9, 0.0), typed=(2.1, 0.5)), "capture"),
        (_steps(capture=(0.9, 0.9), recognise=(np.inf, np.inf), lower=(np.inf, 0.0)), "recognise"),
        (_steps(capture=(0.9, 0.9), recognise=(1.0, 1.1), lower=(1.0, 0.1)), "recognise"),
    ],
)
def test_the_stage_that_adds_most_up_to_where_the_gate_fails(steps: list[StepFigures], stage: str) -> None:
    assert largest_step(steps, 2.0).stage == stage


def _case(name: str, rows: int, width: int = 10) -> ParityCase:
    return ParityCase(name, name.partition("-")[0], {"x": np.zeros((rows, width), np.float32)}, None, True)


def test_a_few_cases_are_measured_one_of_each_shape_and_a_batch_of_samples() -> None:
    cases = [_case(f"random-{p}-{i}", rows) for i in range(2) for p, rows in (("min", 1), ("opt", 4), ("max", 16))]
    cases += [_case("samples-1-0", 1), _case("samples-16-0", 16), _case("samples-16-1", 16)]
    assert [c.name for c in measured_cases(cases)] == ["random-min-0", "random-opt-0", "random-max-0", "samples-16-0"]


def test_large_cases_are_left_out_but_the_first() -> None:
    wide = 1 << 20
    cases = [_case("random-min", 1, wide), _case("random-max", 16, wide), _case("samples-16-0", 16, wide)]
    assert [c.name for c in measured_cases(cases)] == ["random-min"]


def _model(weight: float = 1.0, op: str = "Add", note: str = "") -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("x", "y")]
    weights = [numpy_helper.from_array(np.float32([weight, 2]), "w")]
    graph = helper.make_graph([helper.make_node(op, ["x", "w"], ["y"])], "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, doc_string=note)


def test_models_are_one_computation_by_their_nodes_and_weights() -> None:
    assert same_computation(_model(), _model(note="another text"))
    assert not same_computation(_model(), _model(weight=1.5))
    assert not same_computation(_model(), _model(op="Mul"))
