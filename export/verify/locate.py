"""The place in a graph where two stages part: from the output back along tensors that differ, to the first that does.

Both stages give the same named tensors. A tensor differs where the error of the one against the other, relative to its
rms, is above the geometric mean of what rounding makes and what the output shows. The way back from the output leads
through tensors that differ only: a difference that dies out (a mask of -1e9, stored as -65504) is nobody's fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.check.compare import ErrorMeter
from .graphs import Flow

MOST = 48
"""Tensors that are looked at in one run: it bounds the memory; a graph with more is searched in rounds ..."""
ROUNDS = 24
"""... and so many of them at the most."""
NEAR = 8
"""Tensors next to a place that are all looked at: where a difference dies out, it does so soon."""

Compare = Callable[[Sequence[str]], Mapping[str, float | None]]
"""Relative error by tensor; None where the two cannot be compared."""


@dataclass(frozen=True)
class Place:
    """The first tensor that differs, and all tensors since the last that do not: it, and what could not be compared."""

    tensor: str
    region: frozenset[str]


def relative_error(got: np.ndarray, reference: np.ndarray) -> float | None:
    """rms(got - reference) / rms(reference), infinite where one is not finite; None for what is no float, or is unlike."""
    if got.dtype.kind != "f" or reference.dtype.kind != "f" or got.shape != reference.shape or not got.size:
        return None
    meter = ErrorMeter()
    meter.add(got, reference)
    return meter.figures().relative


def locate(flow: Flow, shared: Collection[str], output: str, compare: Compare, floor: float) -> Place | None:
    """Search ``flow`` for the place whose error shows in ``output``.

    ``shared``: the tensors that may be compared; ``floor``: half an ulp, relative, of what the stage computes in. None
    where the output itself does not differ.
    """
    search = _TensorSearch(flow, set(shared), compare)
    search.look([output])
    final = min(search.known.get(output, 0.0), 1.0)
    if final <= floor:
        return None
    search.threshold = math.sqrt(floor * final)
    place = output
    for _ in range(ROUNDS):
        region = flow.behind(output, search.good())
        place = min((t for t in region if search.known.get(t, 0.0) >= search.threshold), key=flow.order.__getitem__)
        before = flow.behind(place, search.good())
        unseen = search.unseen(before) or search.unseen(_checked(_way(flow, output, place, region)))
        if not unseen:
            break
        search.look(unseen)
    return Place(place, frozenset(flow.behind(place, search.good())))


@dataclass
class _TensorSearch:
    """What has been compared so far."""

    flow: Flow
    shared: set[str]
    compare: Compare
    threshold: float = math.inf

    def __post_init__(self) -> None:
        self.known: dict[str, float] = {}

    def look(self, tensors: Sequence[str]) -> None:
        """Compare so many of the tensors as one run may hold, evenly spread."""
        step = max(1, math.ceil(len(tensors) / MOST))
        for name, error in self.compare(tensors[::-1][::step]).items():
            if error is None:
                self.shared.discard(name)
            else:
                self.known[name] = error

    def unseen(self, tensors: Collection[str]) -> list[str]:
        """Those that may be compared and were not, in the order of the graph."""
        return sorted((t for t in tensors if t in self.shared and t not in self.known), key=self.flow.order.__getitem__)

    def good(self) -> set[str]:
        """Those that do not differ."""
        return {name for name, error in self.known.items() if error < self.threshold}


def _checked(way: Sequence[str]) -> list[str]:
    """Of the way from a place to the output what must be seen to differ: its first tensors, and some of the others."""
    return [*way[:NEAR], *way[NEAR :: max(1, len(way) // NEAR)]]


def _way(flow: Flow, output: str, place: str, region: Collection[str]) -> list[str]:
    """The tensors of one way from ``place`` to ``output`` inside ``region``."""
    came: dict[str, str] = {output: ""}
    waiting = [output]
    while waiting and place not in came:
        name = waiting.pop(0)
        for source in flow.sources(name):
            if source in region and source not in came:
                came[source] = name
                waiting.append(source)
    way, name = [], place
    while name:
        way.append(name)
        name = came.get(name, "")
    return way
