"""Find where two stages first differ: search back from the output through tensors that differ.

Both stages have tensors of the same names. A tensor differs if its error relative to its rms is above
the geometric mean of the rounding error and the output's error. The search follows only tensors that
differ: a difference that does not reach the output (a mask of -1e9, stored as -65504) is ignored.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.check.compare import ErrorMeter
from .graphs import Flow

MOST = 48
"""Most tensors compared in one run, to bound the memory; a graph with more is searched in rounds ..."""
ROUNDS = 24
"""... and the most rounds."""
NEAR = 8
"""Tensors after a place that are all compared: a difference that vanishes does so soon."""

Compare = Callable[[Sequence[str]], Mapping[str, float | None]]
"""Relative error by tensor; None if the two cannot be compared."""


@dataclass(frozen=True)
class Place:
    """The first tensor that differs; ``region`` adds the tensors before it that could not be compared."""

    tensor: str
    region: frozenset[str]


def relative_error(values: np.ndarray, reference: np.ndarray) -> float | None:
    """Return rms(values - reference) / rms(reference), infinite if one is not finite; None for integers or another shape."""
    if values.dtype.kind != "f" or reference.dtype.kind != "f" or values.shape != reference.shape or not values.size:
        return None
    meter = ErrorMeter()
    meter.add(values, reference)
    return meter.figures().relative


def locate(flow: Flow, shared: Collection[str], output: str, compare: Compare, floor: float) -> Place | None:
    """Return the place in ``flow`` that causes the error of ``output``, or None if the output does not differ.

    ``shared``: the tensors that can be compared; ``floor``: half an ulp, relative, of the stage's type.
    """
    search = _TensorSearch(flow, set(shared), compare)
    search.measure([output])
    final = min(search.known.get(output, 0.0), 1.0)
    if final <= floor:
        return None
    search.threshold = math.sqrt(floor * final)
    place = output
    for _ in range(ROUNDS):
        region = flow.behind(output, search.equal())
        place = min((t for t in region if search.known.get(t, 0.0) >= search.threshold), key=flow.order.__getitem__)
        before = flow.behind(place, search.equal())
        candidates = search.open_tensors(before) or search.open_tensors(_spread(_path(flow, output, place, region)))
        if not candidates:
            break
        search.measure(candidates)
    return Place(place, frozenset(flow.behind(place, search.equal())))


@dataclass
class _TensorSearch:
    """The errors of the tensors compared so far."""

    flow: Flow
    shared: set[str]
    compare: Compare
    threshold: float = math.inf

    def __post_init__(self) -> None:
        self.known: dict[str, float] = {}

    def measure(self, tensors: Sequence[str]) -> None:
        """Compare at most ``MOST`` of the tensors, evenly spread."""
        step = max(1, math.ceil(len(tensors) / MOST))
        for name, error in self.compare(tensors[::-1][::step]).items():
            if error is None:
                self.shared.discard(name)
            else:
                self.known[name] = error

    def open_tensors(self, tensors: Collection[str]) -> list[str]:
        """Return the tensors not compared yet that can be, in the order of the graph."""
        return sorted((t for t in tensors if t in self.shared and t not in self.known), key=self.flow.order.__getitem__)

    def equal(self) -> set[str]:
        """Return the tensors that do not differ."""
        return {name for name, error in self.known.items() if error < self.threshold}


def _spread(path: Sequence[str]) -> list[str]:
    """The tensors of a path that must differ: the first ``NEAR``, and some of the others."""
    return [*path[:NEAR], *path[NEAR :: max(1, len(path) // NEAR)]]


def _path(flow: Flow, output: str, place: str, region: Collection[str]) -> list[str]:
    """The tensors of one path from ``place`` to ``output`` inside ``region``."""
    consumers: dict[str, str] = {output: ""}
    queue = [output]
    while queue and place not in consumers:
        name = queue.pop(0)
        for source in flow.sources(name):
            if source in region and source not in consumers:
                consumers[source] = name
                queue.append(source)
    path, name = [], place
    while name:
        path.append(name)
        name = consumers.get(name, "")
    return path
