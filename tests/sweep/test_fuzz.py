"""Random graphs through the whole pipeline: the verdict, the golden values and every error, beside independent evaluations.

``make test`` exports 300 graphs, ``make sweep`` 3,000, ``make fuzz`` 20,000; docs/benchmarks.md has that run. A graph is made by
its seed alone: ``python -m sweep.fuzz --reduce onnx SEED`` reduces one that fails.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from sweep.fuzz import onnx_subject, record, torch_subject
from sweep.fuzz.__main__ import jobs
from sweep.fuzz.blocks import session
from sweep.fuzz.draw import OPSETS, draw
from sweep.fuzz.trial import FAR, Oracle, Outcome, Subject, Verdict, distance, examine
from sweep.fuzz.workers import examine_all, examine_job

REDUCED = {"onnx": 290, "torch": 10}
WHOLE = {"onnx": 2800, "torch": 200}
LEAST_SHARE = {"onnx": 0.95, "torch": 0.8}
"""Of the graphs, those that pass: the others judge nobody, are refused, unstable, or name a kernel."""


@pytest.fixture(autouse=True)
def _no_logging() -> Iterator[None]:
    """pytest keeps every record."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def _expect_no_finding(kind: str, outcomes: list[Outcome]) -> None:
    findings = [outcome for outcome in outcomes if record.is_finding(outcome)]
    assert not findings, record.table(findings)
    passed = sum(outcome.verdict == Verdict.PASS.value for outcome in outcomes)
    assert passed >= LEAST_SHARE[kind] * len(outcomes), record.table(outcomes)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", REDUCED)
def test_hundreds_of_graphs_have_right_outcomes(kind: str) -> None:
    _expect_no_finding(kind, [examine_job((kind, seed)) for seed in range(REDUCED[kind])])


@pytest.mark.sweep
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", WHOLE)
def test_thousands_of_graphs_have_right_outcomes(kind: str) -> None:
    _expect_no_finding(kind, [examine_job((kind, seed)) for seed in range(WHOLE[kind])])


def test_the_seeds_draw_every_opset_and_most_operators_that_onnx_runtime_runs() -> None:
    drawn = [draw(seed) for seed in range(400)]
    assert {d.sketch.opset for d in drawn} == set(OPSETS) == set(range(7, 24))
    operators = {node.op_type for d in drawn for node in d.model.graph.node}
    assert (
        len(operators) >= 120 and {"If", "Loop", "Scan", "Conv", "GridSample", "TopK", "ScatterElements"} <= operators
    )
    assert {value.dtype.kind for d in drawn for value in d.feeds.values()} == {"f", "i", "b"}
    assert 0.1 < np.mean([d.sketch.free for d in drawn]) < 0.4


@pytest.mark.parametrize("seed", range(40))
def test_the_program_of_a_graph_is_what_onnx_runtime_computes(seed: int) -> None:
    drawn = draw(seed)
    expected = drawn.run(drawn.feeds)
    try:
        results = session(drawn.model).run(None, drawn.feeds)
    except Exception:
        pytest.skip("ONNX Runtime refuses the graph")
    for name, result in zip(drawn.outputs, results, strict=True):
        assert distance(expected[name], result) < FAR, name


def _product(tmp_path: Path, factor: float, oracle: float) -> Subject:
    """x times ``factor`` as a file, beside evaluations that say times ``oracle``."""
    x, y = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 3]) for name in "xy")
    weight = helper.make_tensor("w", onnx.TensorProto.FLOAT, [], [factor])
    graph = helper.make_graph([helper.make_node("Mul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "m.onnx")
    known = tuple(Oracle(name, lambda feeds: [feeds["x"] * np.float32(oracle)], 1e-6) for name in ("first", "last"))
    feeds = {"x": np.ones((2, 3), np.float32)}
    return Subject("onnx", 1, tmp_path / "m.onnx", feeds, {"precision": "fp32"}, known, ("Mul",))


def test_a_wrong_value_in_golden_is_a_finding(tmp_path: Path) -> None:
    assert examine(_product(tmp_path, 2.0, 2.0)).verdict == Verdict.PASS.value
    outcome = examine(_product(tmp_path, 2.0, 2.01))
    assert outcome.verdict == Verdict.WRONG_TRUTH.value and record.is_finding(outcome)


def test_a_refusal_is_a_finding_if_the_file_runs(tmp_path: Path) -> None:
    subject = _product(tmp_path, 2.0, 2.0)
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    assert examine(subject).verdict == Verdict.UNTRUE.value
    first, last = subject.oracles

    def fails(feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        raise RuntimeError("no kernel")

    outcome = examine(dataclasses.replace(subject, oracles=(first, dataclasses.replace(last, run=fails))))
    assert outcome.verdict == Verdict.REFUSED.value and "is not an ONNX model" in outcome.text


def test_any_other_exception_is_a_finding(tmp_path: Path) -> None:
    def fails(options: object) -> None:
        raise KeyError("t1")

    outcome = examine(dataclasses.replace(_product(tmp_path, 2.0, 2.0), source=fails))  # type: ignore[arg-type]
    assert (outcome.verdict, outcome.text) == (Verdict.CRASH.value, "KeyError: 't1'")


def test_evaluations_that_differ_judge_nobody(tmp_path: Path) -> None:
    subject = _product(tmp_path, 2.0, 2.0)
    first, _ = subject.oracles
    _, last = _product(tmp_path, 2.0, 3.0).oracles
    outcome = examine(dataclasses.replace(subject, oracles=(first, last)))
    assert outcome.verdict == Verdict.OPEN.value and not record.is_finding(outcome)


@pytest.mark.parametrize(
    ("a", "b", "far"),
    [
        ([1.0, 1.0], [1.0, 1.5], 0.5),
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, np.inf], [1.0, 5.0], np.inf),
        ([1, 2, 3, 4], [1, 2, 3, 5], 0.25),
        ([1.0], [1], np.inf),
        ([1.0, 2.0], [1.0], np.inf),
    ],
)
def test_distances(a: list[float], b: list[float], far: float) -> None:
    assert distance(np.asarray(a), np.asarray(b)) == pytest.approx(far)


def test_a_run_continues_from_its_record(tmp_path: Path) -> None:
    path = tmp_path / "fuzz.jsonl"
    wanted = jobs(3, 1, 0)
    assert sorted(wanted) == [("onnx", 0), ("onnx", 1), ("onnx", 2), ("torch", 0)]
    done = list(record.write(path, map(examine_job, wanted[:2])))
    assert set(record.read(path)) == set(wanted[:2])
    with path.open("a") as stream:
        stream.write('{"kind": "onnx", "seed": 2, "verd\n')  # stopped in the middle of a line
    left = [job for job in wanted if job not in record.read(path)]
    done += record.write(path, map(examine_job, left))
    assert record.read(path) == {(o.kind, o.seed): o for o in done} and len(done) == 4


def test_a_process_that_ends_is_a_finding_and_is_replaced() -> None:
    outcomes = list(examine_all([("no such kind", -1), ("onnx", 2)], 1))
    assert [(o.kind, o.verdict) for o in outcomes] == [
        ("no such kind", Verdict.CRASH.value),
        ("onnx", Verdict.PASS.value),
    ]


def test_a_seed_gives_the_same_graph_again(tmp_path: Path) -> None:
    first, second = (onnx_subject.subject(5, tmp_path) for _ in range(2))
    assert first.operators == second.operators and all(
        (first.inputs[n] == second.inputs[n]).all() for n in first.inputs
    )
    one, two = (torch_subject.subject(5) for _ in range(2))
    assert one.operators == two.operators
    feeds = {"x": one.inputs["x"].numpy()}
    assert all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(one.oracles[0].run(feeds), two.oracles[0].run(feeds), strict=True)
    )
