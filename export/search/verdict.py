"""How a search ended, in figures and in a user's words."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from ..precision.policy import Decision
from .rank import Step
from .shadow import Overflow
from .sources import Source

Verdict = Literal[
    "passed at once", "overflow only", "searched", "static policy", "rounding floor", "time limit", "not reached"
]

_WORDS: dict[Verdict, str] = {
    "passed at once": "all FP16 but the hazards is within the target: nothing more is kept",
    "overflow only": "only what FP16 cannot hold is kept: the rest is within the target",
    "searched": "the fewest nodes that bring the error within the target",
    "static policy": "the rules' own choice is as good as what was found, and is taken",
    "rounding floor": "the error is rounding in very many places, none of which matters alone: a third of the model in FP32 would not "
    "be worth it, so little is kept",
    "time limit": "the time was over: the best that was found until then",
    "not reached": "no set within the target holds on further inputs: the best that was found",
}


@dataclass(frozen=True)
class SearchReport:
    """What a search found.

    Errors are multiples of PyTorch's own FP16 error, under emulation: ``before`` with all but the hazards in FP16,
    ``error`` of what was chosen, ``held_out`` of it on inputs that the search did not see (None where it was not
    needed). ``measured`` counts the nodes kept by measurement; ``top_share`` is the share of the three strongest
    roundings. ``samples``: whether real samples were among the inputs.
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
        """One line."""
        shown = "not finite" if math.isinf(self.before) else f"{self.before:.2f}x"
        change = shown if self.measured == 0 else f"{shown} -> {self.error:.2f}x"
        basis = "" if self.samples else "; measured on random inputs: real --samples would be better"
        return f"{self.verdict}: {_WORDS[self.verdict]} ({change} PyTorch's own FP16 error, target {self.target:g}x{basis})"


def decisions_of(
    hazards: Collection[Decision],
    base: Collection[Overflow],
    kept: Collection[str],
    energies: Mapping[Source, float],
    steps: Collection[Step],
) -> tuple[Decision, ...]:
    """Every kept node with its reason: the hazards' own, and what was measured for the others."""
    found = list(hazards)
    taken = {decision.node for decision in found}
    for overflow in base:
        if overflow.node not in taken:
            found.append(Decision(overflow.node, "search", overflow.reason, "measured"))
            taken.add(overflow.node)
    causes = {node: step.cause for step in steps for node in step.nodes}
    found += [
        Decision(node, "search", _reason(node, energies, causes.get(node)), "measured")
        for node in kept
        if node not in taken
    ]
    return tuple(found)


def _reason(node: str, energies: Mapping[Source, float], cause: Source | None) -> str:
    total = sum(energies.values())
    own = sum(energy for source, energy in energies.items() if source.node == node)
    share = own / total if total > 0.0 else 0.0
    if cause is None or cause.node == node:
        return f"measured: rounding here makes {_percent(share)} of the FP16 error of the outputs"
    joint = energies[cause] / total if total > 0.0 else 0.0
    return (
        f"measured: it reads {cause.node!r}, whose rounding makes {_percent(joint)} of the FP16 error of the outputs, "
        f"and makes {_percent(share)} itself"
    )


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}" if share >= 0.001 else "under 0.1%"
