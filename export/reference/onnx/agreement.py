"""Each kind of node is checked once: the reference against ONNX Runtime's FP32 kernel, on the same FP32 inputs.

Two independent implementations that differ by more than rounding follow different definitions of the operator, so one of
them is wrong, and a verdict that rests on it would be empty. What is rounding is measured: the distance is compared with
FP32's epsilon times the root mean square of the output, and then with what a perturbation of the inputs by a few
epsilons does to the reference, so that an operator that amplifies rounding is not taken for a wrong one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....errors import StageError
from .call import Array, Call, NotCovered, Value
from .known_differences import known_difference
from .one_node import OneNodeSessions

Evaluate = Callable[[Call], Sequence[Value]]
"""Evaluates a call in FP64."""

_EPSILON = 2.0**-23
_LIMIT = 300.0
"""Units of epsilon times the output's root mean square that are rounding, for a sum of one term."""
_LONGEST = 4096
"""Terms of a sum beyond which the limit does not grow."""
_MOST = 2**22
"""Elements of inputs and outputs of a node that is checked."""
_PERTURBATION, _AMPLIFIED = 4 * _EPSILON, 100.0
_STEPS = frozenset({"DynamicQuantizeLinear", "QGemm", "QuantizeLinear"})
"""Operators whose integers may differ by one step where the quotient lies between two."""

_FROM_ONE, _OF_ONE = frozenset({"GRU"}), 16 * _EPSILON
"""Operators that subtract a gate from 1: a result near zero keeps the rounding of 1."""

_UNCHECKED = frozenset({"DynamicQuantizeMatMul"})
"""It rounds its input to 8 bits inside: a step more or less, where a quotient lies between two, is not told from a fault."""


@dataclass(frozen=True)
class _Difference:
    """The largest difference of one output: which output, where, and both values."""

    output: int
    place: str
    reference: str
    other: str
    excess: float


class Agreement:
    """Checks calls; ``notes`` name the known differences that were met."""

    def __init__(self, sessions: OneNodeSessions) -> None:
        self._sessions = sessions
        self._checked: set[Any] = set()
        self.notes: dict[str, str] = {}

    def check(self, call: Call, outputs: Sequence[Value], evaluate: Evaluate) -> None:
        """Compare ``outputs``, which ``evaluate`` gave for ``call``. Raises StageError if the definitions differ."""
        signature = _signature(call)
        if signature in self._checked or not _worth_it(call, outputs):
            return
        self._checked.add(signature)
        try:
            results = self._sessions.run(call, "single")
        except NotCovered:
            return
        if _worst(call, outputs, results) is None:
            return
        rounded = _on(call, lambda x: x.astype(np.float32).astype(np.float64))
        truth = evaluate(rounded)
        difference = _worst(call, truth, results)
        if difference is None or _is_amplified(rounded, truth, difference, evaluate):
            return
        explanation = known_difference(call)
        if explanation is not None:
            self.notes[call.node.op_type] = f"{_name(call)}: {explanation}"
            return
        raise StageError(
            "verify",
            f"{_name(call)}: on the same inputs output {difference.output} at {difference.place} is {difference.reference} by "
            f"attnexport's reference and {difference.other} by ONNX Runtime in FP32; this is more than rounding, so one of "
            f"them does not follow the definition of {call.node.op_type} in the ONNX specification, which decides",
            "report it with this file, or pass the PyTorch model",
        )


def _name(call: Call) -> str:
    operator = ".".join(filter(None, (call.node.domain, call.node.op_type)))
    return f"node {call.node.name!r} ({operator}, opset {call.opset})"


def _signature(call: Call) -> Any:
    attributes = tuple(sorted(a.SerializeToString() for a in call.node.attribute))
    kinds = tuple((v.dtype.str, v.ndim) if isinstance(v, np.ndarray) else type(v) for v in call.inputs)
    return call.node.domain, call.node.op_type, attributes, kinds, call.outputs


def _worth_it(call: Call, outputs: Sequence[Value]) -> bool:
    values = [v for v in (*call.inputs, *outputs) if v is not None]
    if call.node.op_type in _UNCHECKED or not all(isinstance(v, np.ndarray) for v in values):
        return False
    return sum(v.size for v in values) <= _MOST and any(v.dtype == np.float64 for v in call.inputs if v is not None)


def _on(call: Call, change: Callable[[Array], Array]) -> Call:
    inputs = tuple(change(v) if isinstance(v, np.ndarray) and v.dtype == np.float64 else v for v in call.inputs)
    return Call(call.node, call.opset, inputs, call.attributes)


def _worst(call: Call, truth: Sequence[Value], results: Sequence[Value]) -> _Difference | None:
    """The first output that differs by more than rounding."""
    terms = min(max((v.size for v in call.inputs if isinstance(v, np.ndarray)), default=1), _LONGEST)
    for index, (value, result) in enumerate(zip(truth, results)):  # noqa: B905  # a kernel may return more than is read
        if value is None or result is None:
            continue
        a, b = np.asarray(value), np.asarray(result)
        if "V" in (a.dtype.kind, b.dtype.kind):  # types of 4 and 8 bits, which ONNX Runtime returns as others
            continue
        if a.shape != b.shape:
            return _Difference(index, "its shape", str(a.shape), str(b.shape), np.inf)
        if a.dtype == np.float64 and b.dtype == np.float64:
            distance, limit = _distance(a, b, terms)
            limit = max(limit, _OF_ONE if call.node.op_type in _FROM_ONE else 0.0)
        else:
            distance = np.not_equal(a, b).astype(np.float64)
            if call.node.op_type in _STEPS:
                distance = np.abs(a.astype(np.float64) - b.astype(np.float64))
            limit = 1.0 if call.node.op_type in _STEPS else 0.0
        if distance.size and distance.max() > limit:
            place = tuple(int(i) for i in np.unravel_index(int(distance.argmax()), distance.shape))
            return _Difference(index, str(list(place)), _text(a[place]), _text(b[place]), float(distance.max() - limit))
    return None


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, np.floating) else str(value)


def _distance(a: Array, b: Array, terms: int) -> tuple[Array, float]:
    """Distances, zero where either value is not a finite FP32 number, and the largest that is rounding."""
    finite = np.isfinite(a.astype(np.float32)) & np.isfinite(b)
    distance = np.where(finite, np.abs(a - b), 0.0)
    values = a[finite]
    scale = float(np.sqrt(np.mean(values * values))) if values.size else 0.0
    tiny = float(np.finfo(np.float32).tiny)  # below it FP32 has fewer bits, and may be flushed to zero
    return distance, max(_LIMIT * _EPSILON * np.sqrt(terms) * scale, tiny)


def _is_amplified(call: Call, truth: Sequence[Value], difference: _Difference, evaluate: Evaluate) -> bool:
    """Whether inputs that differ by a few epsilons move the output as far: then the operator amplifies rounding."""
    value = np.asarray(truth[difference.output])
    if value.dtype != np.float64 or not np.isfinite(difference.excess):
        return False
    draw = np.random.default_rng(0)
    moved = evaluate(_on(call, lambda x: x * (1 + _PERTURBATION * draw.uniform(-1, 1, x.shape))))
    other = np.asarray(moved[difference.output])
    if other.shape != value.shape:
        return True
    finite = np.isfinite(value) & np.isfinite(other)
    return bool(difference.excess <= _AMPLIFIED * np.where(finite, np.abs(value - other), 0.0).max(initial=0.0))
