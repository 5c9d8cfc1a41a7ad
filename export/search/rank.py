"""The order in which nodes should become FP32, from the error that each rounding causes at the outputs.

    e_s            the error of a model that rounds at s alone, as a multiple of PyTorch's error
    sqrt(sum e²)   the error of many roundings together: they are independent, so their squares add up

A rounding disappears only if all nodes that it needs are FP32 (roundings.py), so the order is greedy over roundings: the
next one removes the most error per node, together with the roundings that disappear with it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .roundings import Rounding

DIFFUSE = 0.4
"""If the three strongest roundings have less than this share of the sum of squares, the error is diffuse: no few nodes cause it."""


@dataclass(frozen=True)
class RankStep:
    """``nodes`` become FP32 to remove the rounding ``cause``; ``energy`` (squared error) is left in the model."""

    nodes: tuple[str, ...]
    cause: Rounding
    energy: float


def top_share(energies: Mapping[Rounding, float]) -> float:
    """The share of the three strongest roundings in the sum of squares; 1 without any error."""
    total = sum(energies.values())
    return sum(sorted(energies.values(), reverse=True)[:3]) / total if total > 0.0 else 1.0


def predicted(energies: Mapping[Rounding, float], kept: frozenset[str] = frozenset()) -> float:
    """The predicted error with the nodes in ``kept`` in FP32 and all others in FP16."""
    return math.sqrt(sum(e for rounding, e in energies.items() if not rounding.needs <= kept))


def order(energies: Mapping[Rounding, float]) -> list[RankStep]:
    """Return all nodes that any rounding needs, in steps. Each step reduces the error; the last one leaves none."""
    left = dict(energies)
    kept: set[str] = set()
    steps: list[RankStep] = []
    by_node: dict[str, list[Rounding]] = {}
    for rounding in energies:
        for node in rounding.needs:
            by_node.setdefault(node, []).append(rounding)
    while left:
        best = max(left, key=lambda rounding: _worth(rounding, kept, left, by_node))
        fresh = tuple(sorted(best.needs - kept))
        kept.update(fresh)
        for rounding in _gone(best, fresh, kept, left, by_node):
            del left[rounding]
        steps.append(RankStep(fresh, best, sum(left.values())))
    return [step for step in steps if step.nodes]


def _worth(
    rounding: Rounding, kept: set[str], left: Mapping[Rounding, float], by_node: Mapping[str, Sequence[Rounding]]
) -> tuple[float, float]:
    """The squared error that a new node removes; equal values are ordered by the rounding itself."""
    fresh = rounding.needs - kept
    if not fresh:
        return math.inf, left[rounding]
    after = kept | fresh
    gone = _gone(rounding, tuple(fresh), after, left, by_node)
    return sum(left[other] for other in gone) / len(fresh), left[rounding]


def _gone(
    rounding: Rounding,
    fresh: Sequence[str],
    kept: set[str],
    left: Mapping[Rounding, float],
    by_node: Mapping[str, Sequence[Rounding]],
) -> set[Rounding]:
    near = {other for node in fresh for other in by_node[node]} | {rounding}
    return {other for other in near if other in left and other.needs <= kept}
