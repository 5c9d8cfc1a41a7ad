"""Read several views of one tensor as the taps of one window: their offsets form a full grid, and their lengths are equal.

    starts (0,0) (0,2) (0,4) (1,0) (1,2) (1,4)  ->  along one axis 2 taps, 1 apart; along the other 3 taps, 2 apart

The taps may be in any order; the grid keeps it. If every view has one position on an axis, that axis is looked up instead
of windowed: the views are its entries. It holds a single window if a window slides along another axis and the axis is kept.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from ..graph.size import ONE
from .views import View, chain, view


@dataclass(frozen=True)
class TapAxis:
    """Along one axis: ``count`` taps, ``dilation`` apart, the first one at ``start``."""

    axis: int
    start: int
    dilation: int
    count: int

    @property
    def last(self) -> int:
        """The distance from the first tap to the last."""
        return self.dilation * (self.count - 1)


@dataclass(frozen=True)
class TapGrid:
    """``order[i]`` is the place of view ``i`` among the taps, row-major. ``first`` is the view of the first tap."""

    base: Any
    first: View
    taps: tuple[TapAxis, ...]
    order: tuple[int, ...]

    @property
    def windows(self) -> tuple[TapAxis, ...]:
        """The axes along which a window slides, and those that hold a single window beside them."""
        slides = any(not self._single(t.axis) for t in self.taps)
        return tuple(t for t in self.taps if slides and (t.axis in self.first.kept or not self._single(t.axis)))

    @property
    def entries(self) -> tuple[TapAxis, ...]:
        """The axes whose entries the taps are."""
        windows = self.windows
        return tuple(t for t in self.taps if t not in windows)

    @property
    def overlaps(self) -> bool:
        """Whether taps overlap: tiles and halves of an axis need no window operator."""
        reaches = [(t.dilation, self.first.parts[t.axis].reach.value) for t in self.windows]
        return any(reach is None or dilation < reach for dilation, reach in reaches)

    def _single(self, axis: int) -> bool:
        return self.first.parts[axis].count == ONE


def read_grid(tensors: tuple[Any, ...]) -> TapGrid | str | None:
    """The grid of these tensors; None if they are not views of one tensor, a reason if their offsets form no grid."""
    paths = [chain(tensor) for tensor in tensors]
    if any(len(path) < 2 for path in paths):
        return None
    shared = 0
    while all(len(path) > shared + 1 and path[shared] is paths[0][shared] for path in paths):
        shared += 1
    if shared == 0:
        different = len({id(path[0]) for path in paths})
        return f"its slices are of {different} tensors" if 2 * different <= len(paths) else None
    # Views that all of them share do not belong to the window.
    base = paths[0][shared - 1]
    views = []
    for path in paths:
        found = view(path[shared - 1 :])
        if found is None:
            return "the bounds of its slices are not known to lie inside the axis"
        views.append(found)
    return _grid(base, views)


def _grid(base: Any, views: list[View]) -> TapGrid | str:
    first = views[0]
    for axis, part in enumerate(first.parts):
        others = [v.parts[axis] for v in views]
        if any(other.step != part.step for other in others):
            return "its slices have unequal strides"
        if any(other.reach != part.reach for other in others):
            return "its slices are of unequal lengths"
    if any(v.kept != first.kept for v in views):
        return "its slices keep different axes"
    taps: list[TapAxis] = []
    for axis in range(len(first.parts)):
        starts = sorted({v.parts[axis].start for v in views})
        if len(starts) == 1:
            continue
        apart = starts[1] - starts[0]
        if starts != list(range(starts[0], starts[-1] + 1, apart)):
            return f"its slices along axis {axis} are not evenly apart"
        taps.append(TapAxis(axis, starts[0], apart, len(starts)))
    full = prod(t.count for t in taps)
    order = tuple(_place(v, taps) for v in views)
    if len(set(order)) < len(order):
        return "a slice appears twice"
    if len(order) < full:
        return f"its slices are {len(order)} of the {full} taps of a window"
    return TapGrid(base, views[order.index(0)], tuple(taps), order)


def _place(of: View, taps: list[TapAxis]) -> int:
    place = 0
    for t in taps:
        place = place * t.count + (of.parts[t.axis].start - t.start) // t.dilation
    return place
