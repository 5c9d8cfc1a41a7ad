"""LocalOutlook by flat shifts: weights are folded over heads, and only then meet the channels.

Windows are mixed and folded back, both linearly, so that y is a window sum of the values themselves over the wider
window of differences between a place that is read and one that is written, with weights that depend on the position:

    y[x] = sum over delta of W[delta][x] * v[x + delta*dilation]
    W[delta][x] = sum over (o, t) with t - o == delta, and p with p*stride + o*dilation - before == x, of weights[o, t][p]

(2k - 1)^n products over all channels instead of k^2n, no windows and no fold of channels; the k^2n sums are over heads only.

Both are shifts of one flat grid of cells (``outlook_cells`` says which), as in ``local_taps``: a row ends in as many zeros as
the farthest shift crosses, so that what leaves a row reads zeros. With a stride, every phase of the space is a sum of its own.
Source: Yuan et al., arXiv:2106.13112, eq. 2 to 4.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph.builder import TO_END, Dim, GraphBuilder, Value
from ..graph.values import known, rank_refusal
from .local_window import CPU, GPU, LEADING, LocalWindow, MachineCosts, batch_of, lengths, window_of
from .lowering import Lowering, Where
from .outlook_cells import Cells, Place


class OutlookGrid:
    """The flat grids of one node: weights and values laid out in cells, shifts of them, and the way back."""

    def __init__(self, emit: GraphBuilder, window: LocalWindow, weights: Value, value: Value) -> None:
        self.emit, self.window, self.cells = emit, window, Cells(window)
        axes, stride = range(window.rank), window.stride
        self._space = [emit.dim(value, LEADING + axis) for axis in axes]
        counts = [emit.floordiv(emit.add(self._space[a], stride[a] - 1), stride[a]) for a in axes]
        # Rows of zeros lie before and behind the first axis, one more where shifts leave the first row sideways.
        lead = self.cells.slack[0] + (window.rank > 1)
        self._before = [lead, *[0] * (window.rank - 1)]
        self._behind = [lead, *self.cells.slack[1:]]
        self._widths = [emit.add(counts[a], self._before[a] + self._behind[a]) for a in axes]
        self._hops: list[Dim] = [1]
        for width in reversed(self._widths[1:]):
            self._hops.insert(0, emit.mul(width, self._hops[0]))
        self._length = emit.mul(counts[0], self._hops[0])
        self._weights = self._flat_weights(weights)
        self._value = self._flat_value(value)
        self._read: dict[tuple[Place, Place], Value] = {}

    def weights(self, written: Place, step: Place) -> list[Value]:
        """What the place at the offset ``written`` takes of each place, at every cell: K values (N, H, 1, cells)."""
        flat = self._weights[self.cells.offsets.index(written)]
        return self.emit.split(self._shifted(flat, step), self.window.taps, axis=2)

    def value(self, phase: Place, hop: Place) -> Value:
        """A phase of the values, every cell reading ``hop`` cells on: (N, H, D, cells)."""
        if (phase, hop) not in self._read:
            self._read[phase, hop] = self._shifted(self._value[phase], hop)
        return self._read[phase, hop]

    def restore(self, phases: Sequence[Value]) -> Value:
        """(N, H, D, cells) of every phase, in order, to (N, H, D, *S)."""
        emit, rank, stride = self.emit, self.window.rank, self.window.stride
        parts, merged = list(phases), self._widths[1:]
        if rank > 1:
            parts = [emit.reshape(part, [0, 0, 0, -1, *merged]) for part in parts]
        for a in (a for a in reversed(range(rank)) if stride[a] > 1):
            # Stacked behind their axis and merged with it, phases alternate: many times quicker than a Transpose of all at once.
            after = LEADING + a + 1
            columns = [emit.unsqueeze(part, [after]) for part in parts]
            stacks = [emit.concat(columns[at : at + stride[a]], after) for at in range(0, len(columns), stride[a])]
            behind = [emit.mul(self._widths[b], stride[b]) for b in range(a + 1, rank)]
            parts = [emit.reshape(stack, [*[0] * (LEADING + a), -1, *behind]) for stack in stacks]
        (x,) = parts
        cut = [a for a in range(rank) if stride[a] > 1 or (a > 0 and self._behind[a])]
        return emit.slice(x, [0] * len(cut), [self._space[a] for a in cut], [LEADING + a for a in cut]) if cut else x

    def _shifted(self, flat: Value, hop: Place) -> Value:
        """Every cell reading ``hop`` cells on."""
        emit = self.emit
        start = emit.mul(self._hops[0], self._before[0] + hop[0])
        for steps, weight in zip(hop[1:], self._hops[1:], strict=True):
            way = emit.mul(weight, abs(steps))
            start = emit.add(way, start) if steps > 0 else emit.sub(start, way) if steps else start
        return emit.slice(flat, [start], [emit.add(self._length, start)], [LEADING])

    def _flat_weights(self, x: Value) -> list[Value]:
        """(N, H, K, K, *P) -> for each place that is written, (N, H, K, all cells)."""
        cells, rank, taps = self.cells, self.window.rank, self.window.taps
        wide = self._widened(x, LEADING + 1, [1] * rank, cells.fewest, cells.most)
        return [self.emit.reshape(part, [0, 0, taps, -1]) for part in self.emit.split(wide, taps, axis=2)]

    def _flat_value(self, x: Value) -> dict[Place, Value]:
        """(N, H, D, *S) -> for each phase, (N, H, D, all cells)."""
        emit, rank, stride = self.emit, self.window.rank, self.window.stride
        x = self._widened(x, LEADING, stride, [1 - step for step in stride], [0] * rank)
        axes = [a for a in range(rank) if stride[a] > 1]
        found = {}
        for phase in self.cells.phases:
            part = x
            if axes:
                starts, along = [phase[a] for a in axes], [LEADING + a for a in axes]
                part = emit.slice(x, starts, [TO_END] * len(axes), along, [stride[a] for a in axes])
            found[phase] = part if rank == 1 else emit.reshape(part, [0, 0, 0, -1])
        return found

    def _widened(self, x: Value, first: int, scale: Sequence[int], fewest: Sequence[int], most: Sequence[int]) -> Value:
        """Zeros around the axes from ``first``, up to ``scale`` times the widths.

        ``fewest`` and ``most`` say how much longer than the cells an axis may be: where a length is free, zeros for the
        shortest are added and what is too much is cut off.
        """
        emit, amounts, cut = self.emit, {}, {}
        for a, width in enumerate(self._widths):
            have, want = known(x, first + a), emit.mul(width, scale[a])
            before = self._before[a] * scale[a]
            if have is not None and isinstance(want, int):
                amounts[first + a] = (before, want - before - have)
                continue
            amounts[first + a] = (before, self._behind[a] * scale[a] - fewest[a])
            if fewest[a] != most[a]:
                cut[first + a] = want
        x = emit.pad(x, first + self.window.rank, amounts)
        return emit.slice(x, [0] * len(cut), list(cut.values()), list(cut)) if cut else x


def outlook_refusal(node: Any, where: Where) -> str | None:
    """The reason to refuse a node whose ranks are not known."""
    (weights, value), rank = node.inputs, LEADING + window_of(node).rank
    return rank_refusal(weights, rank + 1, "weights") or rank_refusal(value, rank, "value")


def _cost(node: Any, machine: MachineCosts = CPU) -> float:
    window, value = window_of(node), node.inputs[1]
    cells, space = Cells(window), lengths(value, LEADING, window.rank)
    grid = 1.0
    for length, step, slack in zip(space, window.stride, cells.slack, strict=True):
        grid *= -(-length // step) + slack
    heads, channels = lengths(value, 1, 2)
    products = sum(len(cells.deltas(phase)) for phase in cells.phases)
    passes = 2 * window.taps**2 + 1.9 * products * channels
    nodes = window.taps**2 + 3 * products
    return machine.value * batch_of(value) * heads * grid * passes + machine.node * nodes


def _build(emit: GraphBuilder, node: Any) -> Value:
    weights, value = node.inputs[:2]
    window = window_of(node)
    grid = OutlookGrid(emit, window, weights, value)
    totals: list[Value | None] = []
    for phase in grid.cells.phases:
        predicted = [grid.weights(offset, step) for offset, step in grid.cells.writes[phase]]
        total = None
        for delta, pairs in grid.cells.deltas(phase).items():
            weight = emit.sum([predicted[written][read] for written, read in pairs])
            product = emit.op("Mul", weight, grid.value(*grid.cells.read(phase, delta)))
            total = product if total is None else emit.op("Add", total, product)
        totals.append(total)
    some = next(total for total in totals if total is not None)
    return grid.restore([zeros_like(emit, some) if total is None else total for total in totals])


def zeros_like(emit: GraphBuilder, x: Value) -> Value:
    """What no window writes is zero."""
    return emit.op("Expand", emit.constant(0, x.dtype, "zero"), emit.op("Shape", x, dtype=np.int64))


LOWERING = Lowering(
    "local_outlook_shifts", "LocalOutlook", outlook_refusal, _cost, _build, lambda node: _cost(node, GPU)
)
