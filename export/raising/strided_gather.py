"""torch.as_strided as torch.onnx spells it: one Gather from the flattened tensor by the numbers of windows.

    Gather(Reshape(x, [-1]), I),  I = offset + sum_a i_a * stride_a   ->   Im2Col or Unfolds of x, its axes in the order of I

Verified from the numbers of I and the sizes of x: every stride is an integer number of steps along one axis of x, no axis has
more than a position and a tap, and no index passes the end of its axis. The batch may be free (a Range times the size of one
image).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph.builder import GraphBuilder, Value
from ..graph.shapes import all_integers, constant, length, producer
from ..graph.size import Size
from .evaluate import numbers
from .grid import TapAxis, TapGrid
from .rule import Match, RaisingRule
from .views import AxisSlice, View
from .windows import operators, refuse, write


@dataclass(frozen=True)
class StrideRun:
    """Along one axis of the index: ``count`` numbers ``stride`` apart."""

    stride: int
    count: Size


def find(node: Any) -> Match[tuple[TapGrid, list[tuple[int, bool]]]] | str | None:
    """``node`` is the Gather from a flattened tensor."""
    if node.op != "Gather" or node.attrs.get("axis", 0) != 0:
        return None
    flat = producer(node.inputs[0])
    if flat is None or flat.op != "Reshape" or all_integers(flat.inputs[1]) != [Size.number(-1)]:
        return None
    x, index = flat.inputs[0], node.inputs[1]
    values = numbers(index)
    rank = values.ndim if values is not None else len(index.shape or ())
    if x.shape is None or rank <= len(x.shape):
        return None
    found = _runs(index, rank)
    if found is None:
        return "its numbers are not those of strides"
    offset, runs = found
    sizes = [length(x, axis) for axis in range(len(x.shape))]
    if any(size is None or size.value is None for size in sizes[1:]) or sizes[0] is None:
        return "the sizes of the tensor are not known"
    placed = _place([size for size in sizes if size is not None], offset, runs)
    if isinstance(placed, str):
        return placed
    grid = TapGrid(x, *placed[:2], tuple(range(int(np.prod([t.count for t in placed[1]])))))
    if not grid.overlaps:
        return None
    if reason := refuse(grid):
        return reason
    return Match(node, operators(grid), (grid, placed[2]))


def build(emit: GraphBuilder, match: Match[tuple[TapGrid, list[tuple[int, bool]]]]) -> Value:
    """Separate the taps again, and bring all axes into the order of the index.

    The match has, for each axis of the index, the axis of x and whether it is the axis of taps there.
    """
    grid, axes = match.data
    lifted = write(emit, grid)
    assert lifted.at is not None
    positions = [(axis, False) for axis in grid.first.kept]
    taps = [(t.axis, True) for t in grid.taps]
    counts = [part.count for part in grid.first.parts]
    behind = [counts[axis] for axis in grid.first.kept[lifted.at :]]
    sizes = [0] * lifted.at + [t.count for t in grid.taps]
    sizes += [count.value for count in behind if count is not None and count.value is not None]
    value = emit.reshape(lifted.value, sizes) if len(taps) > 1 else lifted.value
    labels = positions[: lifted.at] + taps + positions[lifted.at :]
    return emit.transpose(value, [labels.index(axis) for axis in axes])


RULE = RaisingRule("strided_gather", find, build)


def _runs(index: Any, rank: int) -> tuple[int, list[StrideRun]] | None:
    """The offset and the runs of an index: a constant, or the sum of constants and one Range."""
    fixed, free = np.zeros((1,) * rank, np.int64), None
    open_terms = [index]
    while open_terms:
        term = open_terms.pop()
        values, node = numbers(term), producer(term)
        if values is not None:
            fixed = fixed + values
        elif node is not None and node.op == "Add":
            open_terms += node.inputs
        elif free is None and (free := _range(term, rank)) is not None:
            continue
        else:
            return None
    offset = int(fixed.reshape(-1)[0])
    runs, expected = [], np.full((1,) * rank, offset)
    for axis, count in enumerate(fixed.shape):
        if free is not None and axis == free[0]:
            runs.append(free[1])
            if count > 1:
                return None
            continue
        stride = int(np.take(fixed, 1, axis).reshape(-1)[0]) - offset if count > 1 else 0
        shape = [1] * rank
        shape[axis] = count
        expected = expected + stride * np.arange(count).reshape(shape)
        runs.append(StrideRun(stride, Size.number(count)))
    return (offset, runs) if np.array_equal(expected, fixed) else None


def _range(term: Any, rank: int) -> tuple[int, StrideRun] | None:
    """Unsqueeze(Range(0, n, 1) * stride, all axes but one)"""
    node = producer(term)
    if node is None or node.op != "Unsqueeze" or (axes := constant(node.inputs[1])) is None:
        return None
    left = set(range(rank)) - {int(a) % rank for a in axes.reshape(-1)}
    made, stride = producer(node.inputs[0]), 1
    if made is not None and made.op == "Mul":
        numbers = [v for i in made.inputs if (v := constant(i)) is not None and v.size == 1]
        if len(numbers) != 1:
            return None
        stride = int(numbers[0].reshape(-1)[0])
        made = next((p for i in made.inputs if (p := producer(i)) is not None), None)
    if made is None or made.op != "Range" or len(left) != 1:
        return None
    start, limit, step = (all_integers(value) for value in made.inputs)
    if start != [Size.number(0)] or step != [Size.number(1)] or limit is None:
        return None
    return left.pop(), StrideRun(stride, limit[0])


def _place(
    sizes: list[Size], offset: int, runs: list[StrideRun]
) -> tuple[View, tuple[TapAxis, ...], list[tuple[int, bool]]] | str:
    """Assign each run to an axis of x, as its positions or its taps: (view of the first tap, taps, role of each run)."""
    rank = len(sizes)
    whole = [1] * rank
    for axis in range(rank - 2, -1, -1):
        whole[axis] = whole[axis + 1] * (sizes[axis + 1].value or 0)  # find has checked that they are known
    along: list[list[int]] = [[] for _ in sizes]
    alone = [i for i, run in enumerate(runs) if run.count.value == 1]
    for i, run in enumerate(runs):
        if i in alone:
            continue
        fits = [axis for axis in range(rank) if run.stride > 0 and run.stride % whole[axis] == 0]
        if not fits:
            return "a stride of its windows is that of no axis"
        along[fits[0]].append(i)
    # A run of one number has no stride: it is the position on an axis without another run.
    for axis in range(rank):
        if not along[axis] and alone:
            along[axis].append(alone.pop(0))
    if alone:
        return "its axes are not those of the tensor and of a window"
    parts, taps, axes = [], [], [(0, False)] * len(runs)
    for axis, mine in enumerate(along):
        start, offset = divmod(offset, whole[axis])
        if not 1 <= len(mine) <= 2:
            return "its axes are not those of the tensor and of a window"
        # The shorter of two runs is the taps.
        place, *window = sorted(mine, key=lambda i: (runs[i].count.value is not None, -(runs[i].count.value or 0), i))
        step, count = max(runs[place].stride // whole[axis], 1), runs[place].count
        if count.value is None and (step != 1 or window):
            return "its windows slide along an axis whose size is not known"
        reach = Size.number((count.value - 1) * step + 1) if count.value is not None else count
        last = 0
        for i in window:
            number = runs[i].count.value
            assert number is not None  # a run of free length is the place
            apart = runs[i].stride // whole[axis]
            taps.append(TapAxis(axis, start, apart, number))
            last = taps[-1].last
            axes[i] = (axis, True)
        axes[place] = (axis, False)
        room = sizes[axis] - reach - Size.number(start + last)
        if room.value is None or room.value < 0:
            return "its windows run over the end of an axis"
        parts.append(AxisSlice(start, step, reach))
    return View(tuple(parts), tuple(range(rank))), tuple(taps), axes
