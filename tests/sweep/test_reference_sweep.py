"""The FP64 reference of .onnx files, operator by operator: what benchmarks/reference_sweep.csv records holds still.

``make test`` judges one case of each operator and one of each explanation; ``make sweep`` judges all of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from onnx import defs

from attnexport.benchmarks.reference_sweep.case import FIRST, LAST, Case
from attnexport.benchmarks.reference_sweep.draws import f32, i64, scalar
from attnexport.benchmarks.reference_sweep.explanations import EXPLANATIONS, Explanation
from attnexport.benchmarks.reference_sweep.families import FAMILIES, generated
from attnexport.benchmarks.reference_sweep.judge import LIMIT, Outcome, Verdict, distance, judge
from attnexport.benchmarks.reference_sweep.node_tests import OUTSIDE, node_tests
from attnexport.benchmarks.reference_sweep.record import read
from attnexport.benchmarks.reference_sweep.runs import run_onnxruntime, run_reference
from attnexport.benchmarks.reference_sweep.trial import Key, Trial
from attnexport.export.reference.onnx.kernels import KERNELS
from attnexport.export.reference.onnx_model import OnnxOriginal

NO_KERNEL = {("GlobalLpPool", 22), ("MaxRoiPool", 22), ("RoiAlign", 22)}
"""Versions of operators that ONNX Runtime 1.31 does not run."""
BODIES = {"If", "Loop", "Scan", "SequenceMap"}
"""Ours, though no kernel of one node."""

Rows = dict[Key, Outcome]


@cache
def rows() -> Rows:
    return read()


@cache
def sample() -> list[Case]:
    """Of each operator, and of each explanation, the case whose checksum is the smallest."""
    chosen: dict[str, tuple[int, Case]] = {}
    for case in generated():
        row = rows().get(case.key)
        if row is not None:
            rank = zlib.crc32(repr(case.key).encode()), case
            for name in filter(None, (case.operator, row.note)):
                chosen[name] = min(chosen.get(name, rank), rank, key=lambda pair: pair[0])
    return list({case.key: case for _, case in chosen.values()}.values())


def test_the_file_covers_the_standard() -> None:
    """Every version, between opsets 7 and 23, of every operator of the default domain that is not left out by name."""
    opsets: dict[str, set[int]] = {}
    for key in rows():
        opsets.setdefault(key.operator, set()).add(key.opset)
    missing = [
        (name, first)
        for name, first, last in _versions()
        if name not in OUTSIDE
        and (name, first) not in NO_KERNEL
        and not opsets.get(name, set()) & set(range(first, last))
    ]
    assert not missing


def _versions() -> Iterator[tuple[str, int, int]]:
    """(operator, first opset, opset of its next version), deprecated ones left out."""
    changes: dict[str, list[int]] = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            changes.setdefault(schema.name, []).append(schema.since_version)
    for name, versions in changes.items():
        starts = sorted({max(v, FIRST) for v in versions if v <= LAST})
        for first, last in pairwise([*starts, LAST + 1]):
            if not defs.get_schema(name, first).deprecated:
                yield name, first, last


def test_the_file_holds_no_disagreement() -> None:
    keys = list(rows())
    assert keys == sorted(keys)
    assert len(keys) >= 1500
    assert {outcome.verdict for outcome in rows().values()} == {Verdict.AGREE, Verdict.EXPLAINED}
    assert {o.note for o in rows().values() if o.verdict is Verdict.EXPLAINED} == {e.name for e in EXPLANATIONS}


def test_the_sample_is_judged_as_recorded() -> None:
    assert len(sample()) > 120
    assert not _changed(case.trial() for case in sample())


def _changed(trials: Iterator[Trial]) -> list[tuple[Any, ...]]:
    """Trials whose verdict is not the one in the file. Unlisted are those that ONNX Runtime does not run."""
    absent = Outcome(Verdict.ABSENT)
    changed = []
    for trial in trials:
        outcome, known = judge(trial), rows().get(trial.key, absent)
        if outcome.verdict is not known.verdict or (known.verdict is Verdict.EXPLAINED and outcome.note != known.note):
            changed.append((*trial.key, known.verdict.value, outcome.verdict.value, outcome.error, outcome.note))
    return changed


@pytest.mark.sweep
@pytest.mark.parametrize("family", [*FAMILIES, "node_tests"])
def test_all_cases_are_judged_as_recorded(family: str) -> None:
    trials = node_tests() if family == "node_tests" else (case.trial() for case in FAMILIES[family]())
    assert not _changed(trials)


@pytest.mark.sweep
def test_the_file_lists_cases_that_exist() -> None:
    assert set(rows()) <= {case.key for case in generated()} | {trial.key for trial in node_tests()}


LENGTHS = np.asarray([3, 2], np.int32)
RECURRENT = (f32(3, 2, 4), f32(1, 8, 4), f32(1, 8, 2), f32(1, 16), LENGTHS)
SCALES = np.asarray([1, 1, 0.6, 0.6], np.float32)
MUTANTS: tuple[tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any]], ...] = (
    ("AveragePool", (f32(1, 2, 6, 6),), {"kernel_shape": [3, 3], "pads": [1] * 4}, {"count_include_pad": 1}),
    ("MaxPool", (f32(1, 2, 9),), {"kernel_shape": [3], "strides": [3]}, {"ceil_mode": 1, "kernel_shape": [4]}),
    ("LpPool", (f32(1, 2, 9),), {"kernel_shape": [3]}, {"p": 3}),
    ("LpNormalization", (f32(3, 4),), {"p": 1}, {"p": 2}),
    ("LRN", (f32(1, 6, 3, 3),), {"size": 3, "alpha": 0.5}, {"size": 5}),
    ("Conv", (f32(1, 4, 8), f32(4, 2, 3)), {"group": 2, "pads": [1, 1]}, {"pads": [2, 0]}),
    ("ConvTranspose", (f32(1, 4, 5), f32(4, 3, 3)), {"strides": [2], "output_padding": [1]}, {"output_padding": [0]}),
    ("Gemm", (f32(3, 4), f32(4, 5), f32(5)), {"alpha": 0.5}, {"alpha": 0.505}),
    ("Softmax", (f32(2, 3, 4),), {"axis": 1}, {"axis": 2}),
    ("Resize", (f32(1, 1, 10, 7), None, SCALES), {"mode": "linear"}, {"coordinate_transformation_mode": "asymmetric"}),
    ("Resize", (f32(1, 1, 10, 7), None, SCALES), {"mode": "nearest"}, {"nearest_mode": "ceil"}),
    ("Resize", (f32(1, 1, 10, 7), None, SCALES), {"mode": "cubic"}, {"cubic_coeff_a": -0.5}),
    ("GridSample", (f32(1, 2, 6, 5), f32(1, 4, 5, 2, kind="wide")), {}, {"align_corners": 1}),
    ("LSTM", RECURRENT, {"hidden_size": 2}, {"direction": "reverse"}),
    ("LSTM", RECURRENT, {"hidden_size": 2}, {"clip": 0.5}),
    ("LSTM", RECURRENT, {"hidden_size": 2}, {"input_forget": 1}),
    ("Pad", (f32(4, 5), i64(1, -1, 0, 2)), {"mode": "edge"}, {"mode": "reflect"}),
    ("CumSum", (f32(3, 4), scalar(1)), {"exclusive": 1}, {"reverse": 1}),
    ("ReduceMean", (f32(3, 4), i64(1)), {}, {"keepdims": 0}),
    ("TopK", (f32(3, 9), i64(3)), {}, {"largest": 0}),
    ("ArgMax", (f32(3, 9, kind="ties"),), {"axis": 1}, {"select_last_index": 1}),
    ("DepthToSpace", (f32(1, 8, 2, 3),), {"blocksize": 2}, {"mode": "CRD"}),
    ("LayerNormalization", (f32(3, 4), f32(4)), {"epsilon": 0.01}, {"epsilon": 0.02}),
    ("Einsum", (f32(3, 3), f32(3, 3)), {"equation": "ij,jk->ik"}, {"equation": "ij,kj->ik"}),
    ("Attention", (f32(1, 2, 3, 4), f32(1, 2, 3, 4), f32(1, 2, 3, 4)), {}, {"is_causal": 1}),
    ("QuantizeLinear", (f32(3, 4), np.asarray([0.1, 0.2, 0.3, 0.4], np.float32)), {"axis": 1}, {"block_size": 1}),
    ("DFT", (f32(1, 8, 2),), {}, {"inverse": 1}),
)
"""Operator, inputs, attributes, and what a wrong reference takes in their place."""


@pytest.mark.parametrize("operator, inputs, right, wrong", MUTANTS)
def test_a_wrong_attribute_in_the_reference_is_caught(
    operator: str,
    inputs: tuple[Any, ...],
    right: dict[str, Any],
    wrong: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs = ("y0", "y1") if operator == "TopK" else ("y0",)
    case = Case(operator, LAST, inputs, right, outputs)
    assert judge(case.trial()).verdict is Verdict.AGREE
    mutant = replace(case, attributes={**right, **wrong}).model()
    monkeypatch.setattr(
        "attnexport.benchmarks.reference_sweep.judge.run_reference",
        lambda trial: run_reference(replace(trial, model=mutant)),
    )
    assert judge(case.trial()).verdict is Verdict.DISAGREE


def test_a_reference_that_refuses_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(trial: Trial) -> list[Any]:
        raise ValueError("no such operator")

    monkeypatch.setattr("attnexport.benchmarks.reference_sweep.judge.run_reference", refuse)
    outcome = judge(Case("Abs", LAST, (f32(3),)).trial())
    assert (outcome.verdict, outcome.error, outcome.note) == (Verdict.DISAGREE, "refuses", "no such operator")


NODE_TESTS_ONLY = {"align-corners-scale"}
"""To collect onnx's node tests takes 10 seconds."""


@pytest.mark.parametrize(
    "explanation",
    [pytest.param(e, id=e.name, marks=[pytest.mark.sweep] if e.name in NODE_TESTS_ONLY else []) for e in EXPLANATIONS],
)
def test_an_explanation_holds_only_for_the_right_values(
    explanation: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reference that is wrong by a twentieth on such a case is no longer explained."""
    key = min((k for k, outcome in rows().items() if outcome.note == explanation.name), key=lambda k: k.test != "")
    trial = next(t for t in _trials(key) if t.key == key)
    monkeypatch.setattr(
        "attnexport.benchmarks.reference_sweep.judge.run_reference",
        lambda trial: [np.nan_to_num(a, posinf=0, neginf=0) * 1.05 + 0.05 for a in run_reference(trial)],
    )
    assert judge(trial).verdict is Verdict.DISAGREE


def _trials(key: Key) -> Iterator[Trial]:
    return node_tests() if key.test else (case.trial() for case in generated() if case.key == key)


NOTED = {
    "same-with-dilation",
    "unpool-output-shape",
    "grid-nearest-reflection",
    "max-pool-nan",
    "dropout-mask",
}
"""Explanations of finite values that an export meets, too."""


def test_an_export_names_the_difference_and_no_other() -> None:
    """The check of each kind of node, which an export makes, notes what the sweep explains and is silent where it agrees."""
    noted: dict[str, list[str]] = {}
    for case in sample():
        outcome, original = rows()[case.key], OnnxOriginal(case.model())
        original.run(case.feeds, "float64")
        if outcome.verdict is Verdict.AGREE:
            assert original.notes == [], case.key
        noted.setdefault(outcome.note, []).extend(original.notes)
    for name in NOTED:
        assert noted[name], name
        assert all("ONNX Runtime" in note for note in noted[name])


def _unique(x: np.ndarray, axis: int | None) -> list[np.ndarray]:
    """In the order of first appearance."""
    _, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    order = np.argsort(first)
    flat = x.reshape(-1) if axis is None else x
    return [flat.take(first[order], axis or 0), first[order], np.argsort(order)[inverse.reshape(-1)], counts[order]]


def _along(data: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    """GatherElements, whose indices may be shorter than the data on each axis."""
    out = np.empty(indices.shape, data.dtype)
    for place in np.ndindex(*indices.shape):
        source = list(place)
        source[axis] = int(indices[place])
        out[place] = data[tuple(source)]
    return out


def _scattered(data: np.ndarray, indices: np.ndarray, updates: np.ndarray, axis: int) -> np.ndarray:
    out = data.copy()
    for place in np.ndindex(*indices.shape):
        target = list(place)
        target[axis] = int(indices[place])
        out[tuple(target)] = updates[place]
    return out


NUMPY: dict[str, Callable[..., list[np.ndarray]]] = {
    "CumSum": lambda x, axis: [np.cumsum(x, axis=int(axis[0]))],
    "GatherElements": lambda x, indices, axis=0: [_along(x, indices, axis)],
    "Scatter": lambda x, indices, updates, axis=0: [_scattered(x, indices, updates, axis)],
    "Unique": lambda x, axis=None, sorted=0: _unique(x, axis),
    "Unsqueeze": lambda x, axes: [np.expand_dims(x, tuple(axes))],
}
"""Where the reference runs ONNX Runtime's kernel, and onnx's evaluator fails."""


def test_what_onnx_runtime_moves_for_the_reference_is_right() -> None:
    """Someone other than ONNX Runtime gives the values of every case: onnx's test, onnx's evaluator, a kernel of ours, or NumPy."""
    alone = {
        key
        for key, outcome in rows().items()
        if not outcome.witness and key.operator not in BODIES and ("", key.operator) not in KERNELS
    }
    assert {key.operator for key in alone} == set(NUMPY)
    for case in (case for case in generated() if case.key in alone):
        truth = NUMPY[case.operator](*case.arrays, **case.attributes)
        assert distance(run_reference(case.trial()), truth, 2.0**-23) <= LIMIT, case.key
        assert distance(run_onnxruntime(case.trial()), truth, 2.0**-23) <= LIMIT, case.key
