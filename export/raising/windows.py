"""Write the window operator of a grid: a crop if needed, then Im2Col or one Unfold per axis, with the taps as one axis.

2-D windows of (N, C, H, W)   ->  Im2Col, Reshape to (N, C, T, Lh, Lw)
any other                     ->  Unfold for each windowed axis, the new axes merged behind the others: (…, T)
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from ..graph.builder import TO_END, Dim, GraphBuilder, Value
from ..graph.shapes import size_of
from ..graph.size import Size
from .grid import TapAxis, TapGrid
from .rule import domain_op

_MOVABLE = [np.dtype(name) for name in ("float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")]
_Label = int | tuple[str, int]
"""An axis of the base, or the taps of a windowed axis."""


@dataclass(frozen=True)
class Lifted:
    """All taps in one tensor: that of one tap with an axis of taps before its axis ``at`` (None: all taps are the same)."""

    value: Value
    rank: int
    at: int | None

    @property
    def behind(self) -> int:
        """The number of axes behind the axis of taps."""
        return self.rank - (self.at or 0)


def operators(grid: TapGrid) -> tuple[str, ...]:
    """The domain operators that :func:`write` writes, in order."""
    return ("Im2Col",) if _is_image(grid) else ("Unfold",) * len(grid.windows)


def refuse(grid: TapGrid) -> str | None:
    """The reason to refuse a grid: the operators cannot take it, or the crop that it needs cannot be written."""
    if not any(grid.base.dtype == kind for kind in _MOVABLE):
        return f"no window operator takes values of type {grid.base.dtype}"
    for axis in range(len(grid.first.parts)):
        if _end(grid, axis) is None:
            return f"the end of its windows along axis {axis} is not known from the length of the axis"
    return None


def write(emit: GraphBuilder, grid: TapGrid, behind: int | None = None) -> Lifted:
    """Write all taps of a grid as one tensor, with the taps before the last ``behind`` axes if that costs nothing."""
    x = crop(emit, grid)
    rank = len(grid.first.kept)
    if _is_image(grid):
        return Lifted(_im2col(emit, x, grid), rank, 2)
    dropped = [axis for axis in range(len(grid.first.parts)) if axis not in grid.first.kept]
    looked_up = [t.axis for t in grid.entries]
    if len(grid.taps) == 1 and looked_up:
        return _entries(emit, x, grid, dropped, behind)
    axes = list(range(len(grid.first.parts)))
    labels: list[_Label] = [*axes]
    for t in grid.windows:
        x = domain_op(emit, "Unfold", x, {"axis": t.axis, "size": t.last + 1, "step": grid.first.parts[t.axis].step})
        if t.dilation > 1:
            x = emit.slice(x, [0], [TO_END], [len(labels)], [t.dilation])
        labels.append(("tap", t.axis))
    wanted: list[_Label] = [axis for axis in axes if axis not in looked_up]
    wanted += [t.axis if t.axis in looked_up else ("tap", t.axis) for t in grid.taps]
    if wanted != labels:
        x = emit.transpose(x, [labels.index(label) for label in wanted])
    if len(grid.taps) > 1:
        x = emit.reshape(x, [0] * (len(axes) - len(looked_up)) + [prod(t.count for t in grid.taps)])
    remaining = [axis for axis in axes if axis not in looked_up]
    gone = [remaining.index(axis) for axis in dropped if axis not in looked_up]
    if gone:
        x = emit.op("Squeeze", x, emit.ints(gone))
    back = [grid.first.kept.index(axis) for axis in looked_up if axis in grid.first.kept]
    if back:
        x = emit.unsqueeze(x, back)
    return Lifted(x, rank, rank)


def _is_image(grid: TapGrid) -> bool:
    whole = len(grid.first.parts) == 4 and grid.first.kept == (0, 1, 2, 3)
    return whole and not grid.entries and [t.axis for t in grid.taps] == [2, 3]


def _end(grid: TapGrid, axis: int) -> int | None:
    """The end of the crop: TO_END if the windows fill the axis, counted from its start or (negative) its end, None if unknown."""
    part, taps = grid.first.parts[axis], next((t for t in grid.taps if t.axis == axis), None)
    start, last = (taps.start, taps.last) if taps else (part.start, 0)
    end = part.reach + Size.number(start + last)
    room = size_of(grid.base, axis) - end
    # Fewer values than a step behind the last window add no window. A free reach is not rounded to steps.
    step = taps.dilation if taps and taps in grid.entries else part.step
    if room.value is not None and 0 <= room.value < (step if part.reach.value is not None else 1):
        return TO_END
    if end.value is not None:
        return end.value
    return -room.value if room.value is not None else None


def crop(emit: GraphBuilder, grid: TapGrid) -> Value:
    """The base without the values that the windows leave out."""
    taps = {t.axis: t for t in grid.taps}
    windowed = {t.axis for t in grid.windows}
    bounds: list[tuple[int, int, int, int]] = []
    for axis, part in enumerate(grid.first.parts):
        t = taps.get(axis)
        start, end = part.start if t is None else t.start, _end(grid, axis)
        step = 1 if axis in windowed else part.step if t is None else t.dilation
        assert end is not None  # refuse() has checked this
        if (start, end, step) != (0, TO_END, 1):
            bounds.append((start, end, axis, step))
    if not bounds:
        return grid.base
    starts, ends, axes, steps = (list(b) for b in zip(*bounds, strict=True))
    return emit.slice(grid.base, starts, ends, axes, steps)


def _entries(emit: GraphBuilder, x: Value, grid: TapGrid, dropped: list[int], behind: int | None) -> Lifted:
    """The axis is already that of the taps. If each view keeps it with length 1, it is added again, on the side asked for."""
    (taps,) = grid.taps
    rank = len(grid.first.kept)
    others = [axis for axis in dropped if axis != taps.axis]
    if others:
        x = emit.op("Squeeze", x, emit.ints(others))
    at = taps.axis - sum(axis < taps.axis for axis in others)
    if taps.axis in dropped:
        return Lifted(x, rank, at)
    if behind == rank - at - 1:
        return Lifted(emit.unsqueeze(x, [at]), rank, at + 1)
    return Lifted(emit.unsqueeze(x, [at + 1]), rank, at)


def _im2col(emit: GraphBuilder, x: Value, grid: TapGrid) -> Value:
    steps = [grid.first.parts[t.axis].step for t in grid.taps]
    attributes = {
        "kernel": [t.count for t in grid.taps], "dilation": [t.dilation for t in grid.taps], "pads": [0, 0, 0, 0],
        "stride": steps,
    }  # fmt: skip
    columns = domain_op(emit, "Im2Col", x, attributes)
    counts = [grid.first.parts[t.axis].count for t in grid.taps]
    space: list[Dim] = [-1 if count is None or count.value is None else count.value for count in counts]
    if space == [-1, -1]:
        space = [_positions(emit, x, t, step) for t, step in zip(grid.taps, steps, strict=True)]
    channels = grid.first.parts[1].count
    known = None if channels is None else channels.value
    return emit.reshape(
        columns, [0, emit.dim(x, 1) if known is None else known, prod(t.count for t in grid.taps), *space]
    )


def _positions(emit: GraphBuilder, x: Value, taps: TapAxis, step: int) -> Dim:
    size = emit.dim(x, taps.axis)
    return emit.add(emit.floordiv(emit.sub(size, taps.last + 1), step), 1) if step > 1 else emit.sub(size, taps.last)
