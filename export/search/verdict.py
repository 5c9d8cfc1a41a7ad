"""The result of a search, in figures and in plain words."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from ..precision.policy import Decision
from .rank import RankStep
from .roundings import Rounding
from .shadow import Overflow

Verdict = Literal[
    "passed at once", "overflow only", "searched", "static policy", "rounding floor", "time limit", "not reached"
]

_TEXTS: dict[Verdict, str] = {
    "passed at once": "Accurate in FP16: only the operators that are unsafe in FP16 stay FP32",
    "overflow only": "Accurate in FP16 except for overflows: only the operators that are unsafe or overflow in FP16 stay FP32",
    "searched": "Accurate with the fewest operators in FP32 that the search found",
    "static policy": "Accurate with the operators in FP32 that the precision rules name; the search found nothing better",
    "rounding floor": "The error comes from rounding in very many places, so FP32 operators reduce it little: only a few stay FP32",
    "time limit": "The search ran out of time: the best operators in FP32 that it found so far",
    "not reached": "The search found no set of FP32 operators that reaches the target on other inputs: the best that it found",
}


@dataclass(frozen=True)
class SearchReport:
    """The result of a search.

    Errors are multiples of PyTorch's FP16 error, under emulation: ``before`` with everything in FP16 except the hazards,
    ``error`` of the chosen set, ``held_out`` of that set on inputs that the search did not use (None if it was not
    measured). ``measured`` counts the nodes that a measurement keeps in FP32; ``top_share`` is the share of the three
    strongest roundings. ``samples``: whether real samples were among the inputs.
    """

    verdict: Verdict
    target: float
    before: float
    error: float
    held_out: float | None = None
    measured: int = 0
    evaluations: int = 0
    remembered: int = 0
    seconds: float = 0.0
    top_share: float | None = None
    predicted: float | None = None
    samples: bool = False

    @property
    def text(self) -> str:
        """The verdict with its figures, in one line."""
        before = "not finite" if math.isinf(self.before) else f"{self.before:.2f}x"
        error = before if self.measured == 0 else f"{before} -> {self.error:.2f}x"
        basis = "" if self.samples else "; measured on random inputs: pass real ones with --samples"
        return f"{_TEXTS[self.verdict]} (error {error} PyTorch's FP16 error; target {self.target:g}x{basis})"


def decisions_of(
    hazards: Collection[Decision],
    base: Collection[Overflow],
    kept: Collection[str],
    energies: Mapping[Rounding, float],
    steps: Collection[RankStep],
) -> tuple[Decision, ...]:
    """A decision for each node that stays FP32: the hazards, then the nodes that a measurement keeps."""
    decisions = {decision.node: decision for decision in hazards}
    for overflow in base:
        decisions.setdefault(overflow.node, Decision(overflow.node, "search", overflow.reason, "measured"))
    causes = {node: step.cause for step in steps for node in step.nodes}
    for node in kept:
        reason = _reason(node, energies, causes.get(node))
        decisions.setdefault(node, Decision(node, "search", reason, "measured"))
    return tuple(decisions.values())


def _reason(node: str, energies: Mapping[Rounding, float], cause: Rounding | None) -> str:
    total = sum(energies.values())
    here = sum(energy for rounding, energy in energies.items() if rounding.node == node)
    share = here / total if total > 0.0 else 0.0
    if cause is None or cause.node == node:
        return f"measured: rounding here causes {_percent(share)} of the FP16 error of the outputs"
    joint = energies[cause] / total if total > 0.0 else 0.0
    return (
        f"measured: it reads {cause.node!r}, whose rounding causes {_percent(joint)} of the FP16 error of the outputs, "
        f"and the rounding of this node causes {_percent(share)}"
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}" if share >= 0.001 else "under 0.1%"
