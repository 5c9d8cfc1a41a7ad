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

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .emit import Dim, Emit, Value
from .local_cost import CPU, batch_of
from .local_window import LEADING, LocalWindow, lengths, window_of
from .lowering import Lowering, Where, known, rank_refusal
from .outlook_cells import Cells, Place


class Grid:
    """The flat grids of one node: weights and values laid out in cells, shifts of them, and the way back."""

    def __init__(self, emit: Emit, window: LocalWindow, weights: Value, value: Value) -> None:
        self.emit, self.window, self.cells = emit, window, Cells(window)
        axes, stride = range(window.rank), window.stride
        self._channels = emit.dim(value, 2)
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
        at, taps = self.cells.offsets.index(written), self.window.taps
        return self.emit.split(self._shifted(self._weights, at * taps, (at + 1) * taps, step), taps, axis=2)

    def value(self, phase: Place, hop: Place) -> Value:
        """A phase of the values, every cell reading ``hop`` cells on: (N, H, D, cells)."""
        if (phase, hop) not in self._read:
            at = self.cells.phases.index(phase)
            first, stop = (self.emit.mul(self._channels, number) if number else 0 for number in (at, at + 1))
            self._read[phase, hop] = self._shifted(self._value, first, stop, hop)
        return self._read[phase, hop]

    def restore(self, phases: Sequence[Value]) -> Value:
        """(N, H, D, cells) of every phase to (N, H, D, *S)."""
        emit, rank, stride = self.emit, self.window.rank, self.window.stride
        x = emit.concat(phases, axis=2)
        if len(phases) > 1:
            x = emit.reshape(x, [0, 0, *stride, self._channels, -1, *self._widths[1:]])
            x = emit.transpose(x, [0, 1, 2 + rank, *(at for a in range(rank) for at in (3 + rank + a, 2 + a))])
        if len(phases) > 1 or rank > 1:
            rows = [emit.mul(width, step) for width, step in zip(self._widths[1:], stride[1:], strict=True)]
            x = emit.reshape(x, [0, 0, 0, -1, *rows])
        cut = [a for a in range(rank) if stride[a] > 1 or (a > 0 and self._behind[a])]
        return emit.slice(x, [0] * len(cut), [self._space[a] for a in cut], [LEADING + a for a in cut]) if cut else x

    def _shifted(self, flat: Value, first: Dim, stop: Dim, hop: Place) -> Value:
        """``first`` to ``stop`` of the third axis, every cell reading ``hop`` cells on."""
        emit = self.emit
        start = emit.mul(self._hops[0], self._before[0] + hop[0])
        for steps, weight in zip(hop[1:], self._hops[1:], strict=True):
            way = emit.mul(weight, abs(steps))
            start = emit.add(way, start) if steps > 0 else emit.sub(start, way) if steps else start
        return emit.slice(flat, [first, start], [stop, emit.add(self._length, start)], [2, LEADING])

    def _flat_weights(self, x: Value) -> Value:
        """(N, H, K, K, *P) -> (N, H, K*K, all cells)."""
        cells, rank, taps = self.cells, self.window.rank, self.window.taps
        wide = self._widened(x, LEADING + 1, [1] * rank, cells.fewest, cells.most)
        return self.emit.reshape(wide, [0, 0, taps * taps, -1])

    def _flat_value(self, x: Value) -> Value:
        """(N, H, D, *S) -> (N, H, phases * D, all cells)."""
        emit, rank, stride = self.emit, self.window.rank, self.window.stride
        x = self._widened(x, LEADING, stride, [1 - step for step in stride], [0] * rank)
        if len(self.cells.phases) == 1:
            return x if rank == 1 else emit.reshape(x, [0, 0, 0, -1])
        pairs = [at for width, step in zip([-1, *self._widths[1:]], stride, strict=True) for at in (width, step)]
        x = emit.reshape(x, [0, 0, 0, *pairs])
        x = emit.transpose(x, [0, 1, *(4 + 2 * a for a in range(rank)), 2, *(3 + 2 * a for a in range(rank))])
        return emit.reshape(x, [0, 0, emit.mul(self._channels, len(self.cells.phases)), -1])

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


def _refuse(node: Any, where: Where) -> str | None:
    rank = window_of(node).rank
    return rank_refusal(node.inputs[0], LEADING + 1 + rank, "weights") or rank_refusal(
        node.inputs[1], LEADING + rank, "value"
    )


def _cost(node: Any) -> float:
    window, value = window_of(node), node.inputs[1]
    cells, space = Cells(window), lengths(value, LEADING, window.rank)
    grid = 1.0
    for length, step, slack in zip(space, window.stride, cells.slack, strict=True):
        grid *= -(-length // step) + slack
    heads, channels = lengths(value, 1, 2)
    products = sum(len(cells.deltas(phase)) for phase in cells.phases)
    passes = 2 * window.taps**2 + 3 * products * channels
    nodes = window.taps**2 + 3 * products
    return CPU.value * batch_of(value) * heads * grid * passes + CPU.node * nodes


def _build(emit: Emit, node: Any) -> Value:
    weights, value = node.inputs[:2]
    window = window_of(node)
    grid = Grid(emit, window, weights, value)
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
    return grid.restore([_zeros_like(emit, some) if total is None else total for total in totals])


def _zeros_like(emit: Emit, x: Value) -> Value:
    """What no window writes is zero."""
    return emit.op("Expand", emit.constant(0, x.dtype, "zero"), emit.op("Shape", x, dtype=np.int64))


LOWERING = Lowering("local_outlook_shifts", "LocalOutlook", _refuse, _cost, _build)
