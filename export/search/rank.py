"""In which order nodes should become FP32: what each rounding does to the outputs, measured end to end.

    e_s            the error of a model that rounds at s alone, as a multiple of PyTorch's own
    sqrt(sum e²)   the error of many roundings together: they are independent, so their squares add up

A rounding is gone only when all nodes that it needs are FP32 (sources.py), so the order is greedy over roundings: next
comes the one whose nodes take away the most error per node, counting what is gone with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .sources import Source

DIFFUSE = 0.4
"""Below this share of the three strongest roundings in the sum of squares, no few nodes make the error."""


@dataclass(frozen=True)
class Step:
    """``nodes`` become FP32 for the rounding ``cause``, which leaves ``energy`` (squared error) in the model."""

    nodes: tuple[str, ...]
    cause: Source
    energy: float


def top_share(energies: Mapping[Source, float]) -> float:
    """The share of the three strongest roundings in the sum of squares; 1 where there is no error at all."""
    total = sum(energies.values())
    return sum(sorted(energies.values(), reverse=True)[:3]) / total if total > 0.0 else 1.0


def predicted(energies: Mapping[Source, float], kept: frozenset[str] = frozenset()) -> float:
    """The error with the nodes in ``kept`` in FP32 and all others in FP16."""
    return math.sqrt(sum(e for source, e in energies.items() if not source.needs <= kept))


def order(energies: Mapping[Source, float]) -> list[Step]:
    """All nodes that any rounding needs, in steps; the error shrinks with each, to nothing in the end."""
    left = dict(energies)
    kept: set[str] = set()
    steps: list[Step] = []
    by_node: dict[str, list[Source]] = {}
    for source in energies:
        for node in source.needs:
            by_node.setdefault(node, []).append(source)
    while left:
        best = max(left, key=lambda source: _worth(source, kept, left, by_node))
        fresh = tuple(sorted(best.needs - kept))
        kept.update(fresh)
        for source in _gone(best, fresh, kept, left, by_node):
            del left[source]
        steps.append(Step(fresh, best, sum(left.values())))
    return [step for step in steps if step.nodes]


def _worth(
    source: Source, kept: set[str], left: Mapping[Source, float], by_node: Mapping[str, Sequence[Source]]
) -> tuple[float, float]:
    """Squared error taken away per new node; among equals the stronger rounding first."""
    fresh = source.needs - kept
    if not fresh:
        return math.inf, left[source]
    after = kept | fresh
    gone = _gone(source, tuple(fresh), after, left, by_node)
    return sum(left[other] for other in gone) / len(fresh), left[source]


def _gone(
    source: Source,
    fresh: Sequence[str],
    kept: set[str],
    left: Mapping[Source, float],
    by_node: Mapping[str, Sequence[Source]],
) -> set[Source]:
    near = {other for node in fresh for other in by_node[node]} | {source}
    return {other for other in near if other in left and other.needs <= kept}
