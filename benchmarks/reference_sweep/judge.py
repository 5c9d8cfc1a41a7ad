"""A trial's verdict: ONNX Runtime's CPU provider in FP32, the project's FP64 reference, and what onnx's node test expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import onnx

from attnexport.benchmarks.reference_sweep.explanations import explanations
from attnexport.benchmarks.reference_sweep.runs import run_onnx_evaluator, run_onnxruntime, run_reference
from attnexport.benchmarks.reference_sweep.trial import Trial

LIMIT = 100.0
"""Rounding, in units of the type's epsilon times the output's root mean square. Honest cases reach 50: their sums are short."""

_WITNESS = 3 * LIMIT
"""onnx's evaluator sums in NumPy's order, in FP32."""
_EPSILON = {2: 2.0**-10, 4: 2.0**-23, 8: 2.0**-52}
_BFLOAT16 = 2.0**-7


class Verdict(str, Enum):
    """``explained``: they differ, and an independent formula shows why. ``absent``: ONNX Runtime has no kernel or refuses the case."""

    AGREE = "agree"
    EXPLAINED = "explained"
    DISAGREE = "disagree"
    ABSENT = "absent"


@dataclass(frozen=True)
class Outcome:
    """``error``: the distance between the two in units of rounding, as text. ``note``: an explanation's name, or what is known.

    ``witness``: who else gives the reference's values: onnx's node test, or else onnx's own evaluator in FP32, or nobody.
    """

    verdict: Verdict
    error: str = ""
    note: str = ""
    witness: str = ""


def judge(trial: Trial) -> Outcome:
    """Run both and compare. They agree within rounding of each other and of what onnx expects, or an explanation holds."""
    try:
        results = run_onnxruntime(trial)
    except Exception as error:  # whatever it raises, it does not run this case
        return Outcome(Verdict.ABSENT, note=_line(error))
    try:
        truth = run_reference(trial)
    except Exception as error:  # the reference must not refuse: that is a disagreement
        return Outcome(Verdict.DISAGREE, "refuses", _line(error))
    results, truth = _ordered(trial, results), _ordered(trial, truth)
    epsilon = _narrowest(trial, results)
    far = distance(results, truth, epsilon)
    text = f"{far:.2g}" if np.isfinite(far) else "differs"
    sides = _sides(trial, results, truth, epsilon)
    witness = "" if trial.expected is None else "test" if sides[1] else ""
    witness = witness or _evaluator(trial, truth, epsilon)
    if far <= LIMIT and all(sides):
        return Outcome(Verdict.AGREE, text, "", witness)
    for explanation in explanations(trial.key):
        right = explanation.right(trial, results)
        if distance(right, truth, max(epsilon, explanation.epsilon)) <= LIMIT:
            return Outcome(Verdict.EXPLAINED, text, explanation.name, witness)
    return Outcome(Verdict.DISAGREE, text, _NOTES[sides] if trial.expected is not None else "", witness)


def _evaluator(trial: Trial, truth: list[Any], epsilon: float) -> str:
    try:
        known = _ordered(trial, run_onnx_evaluator(trial))
        return "evaluator" if distance(known, truth, epsilon) <= _WITNESS else ""
    except Exception:  # it lacks the operator, or fails
        return ""


_NOTES = {
    (True, True): "",
    (True, False): "onnx expects ONNX Runtime's values",
    (False, True): "onnx expects the reference's values",
    (False, False): "onnx expects neither",
}


def _sides(trial: Trial, results: list[Any], truth: list[Any], epsilon: float) -> tuple[bool, bool]:
    """Whether ONNX Runtime and the reference give what onnx expects; both do where it expects nothing."""
    if trial.expected is None:
        return True, True
    known = _ordered(trial, list(trial.expected))
    first, second = (
        distance(known, side, epsilon) <= LIMIT or _within(known, side, trial.bounds) for side in (results, truth)
    )
    return first, second


def distance(results: Sequence[Any], truth: Sequence[Any], epsilon: float) -> float:
    """The largest over the outputs; infinite where shapes, integers, or values that are not finite differ."""
    if len(results) != len(truth):
        return np.inf
    return max(
        (_distance(np.asarray(a), np.asarray(b), epsilon) for a, b in zip(results, truth, strict=True)), default=0.0
    )


def _distance(result: np.ndarray, truth: np.ndarray, epsilon: float) -> float:
    if result.shape != truth.shape:
        return np.inf
    if result.dtype.kind not in "fV" or truth.dtype.kind not in "fV":
        return 0.0 if np.array_equal(result, truth) else np.inf
    kind = result.dtype if result.dtype.kind == "f" else np.dtype(np.float32)
    with np.errstate(all="ignore"):
        a, b = result.astype(np.float64), truth.astype(kind).astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return np.inf
    a, b = a[finite], b[finite]
    if not b.size:
        return 0.0
    scale = float(np.sqrt(np.mean(np.square(b)))) or 1.0
    return float(np.abs(a - b).max()) / scale / epsilon


def _within(known: Sequence[Any], side: Sequence[Any], bounds: tuple[float, float]) -> bool:
    """Some tests round what they expect to four decimals."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(known, side, strict=True)]
    if any(a.shape != b.shape or a.dtype.kind not in "fV" for a, b in pairs):
        return False
    return all(np.allclose(a.astype(np.float64), b.astype(np.float64), *bounds, equal_nan=True) for a, b in pairs)


def _narrowest(trial: Trial, results: Sequence[Any]) -> float:
    """The epsilon that a value meets on its way: half precision anywhere in the graph counts, as the reference does not round to it."""
    inner = {
        value.type.tensor_type.elem_type for value in onnx.shape_inference.infer_shapes(trial.model).graph.value_info
    }
    inner |= {v.type.tensor_type.elem_type for v in (*trial.model.graph.input, *trial.model.graph.output)}
    if onnx.TensorProto.BFLOAT16 in inner:
        return _BFLOAT16
    if onnx.TensorProto.FLOAT16 in inner:
        return _EPSILON[2]
    floats = [np.asarray(r).dtype.itemsize for r in results if np.asarray(r).dtype.kind == "f"]
    return _EPSILON[min(floats, default=4)]


def _ordered(trial: Trial, outputs: list[Any]) -> list[Any]:
    """The standard leaves the order open in a top-k that is not sorted: it is brought into one order."""
    node = trial.model.graph.node[0]
    attributes = {a.name: a.i for a in node.attribute}
    if node.op_type != "TopK" or attributes.get("sorted", 1):
        return outputs
    return [np.sort(output, axis=attributes.get("axis", -1)) for output in outputs]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
