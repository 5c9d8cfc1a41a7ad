"""Flat shifts: what each tap of a window reads, at every position, as one contiguous Slice and no unfolded tensor.

Along an axis of Q positions, stride s, dilation d and k taps, tap t reads place t*d + p*s. Split the padded axis into
its s phases (x[a], x[a + s], ...), each cut to W = Q + M places, M = (k - 1)*d // s: tap t reads phase t*d mod s from
place t*d // s on. With stride 1, the zeros behind a row serve as those before the next: M is less by the smaller of the
two paddings, which at 14 positions and k = 7 is a sixth of all work. Flatten the space axes of a phase, row-major, and
all positions move together:

    flat[n, h, d, p] with p over Q_0 * W_1 * ... * W_n-1;   tap = flat[start : start + P],  start = sum_i hop_i * w_i

where w_i = W_i+1 * ... * W_n-1. Places p in the last M_i columns of a row belong to no position; they are computed
with the others, since a Slice of whole rows is one block of memory, and cut off at the end. Rows more are kept at the
bottom, for the last tap's tail. Source: the shift form of Ramachandran et al., arXiv:1906.05909, section 3.1.

Two-way shifts: queries and sums move along the last axis, keys and values along the others; no Slice for each tap.

A flat shift is a hop a along the leading axes and a hop b along the last one, and

    query[p] * key[p + a + b] = query[p' - b] * key[p' + a]     at p' = p + b

so that the query moved by b and the key moved by a, P + B places long for the longest hop B along the last axis, meet
in every product of the two: 2k moved tensors for k*k taps. What is made at p' stays there. What all taps of a column b
share is moved back by one Slice, and a sum over taps is one for each column, moved back and added:

    sum over t of w_t[p] * value[p + a + b] = sum over b of back_b(sum over a of w_t[p' - b] * value[p' + a])
"""

from collections.abc import Iterator

from ..graph.builder import Dim, GraphBuilder, Value
from .local_window import LEADING, LocalWindow

Place = tuple[int, ...]


class WindowShifts:
    """The shifts of one node's window. ``positions`` is a value (N, H, any, *Q) that has the positions' lengths."""

    def __init__(self, emit: GraphBuilder, window: LocalWindow, positions: Value) -> None:
        self.emit = emit
        self.window = window
        self.extra = window.spare
        self.counts = [emit.dim(positions, LEADING + axis) for axis in range(window.rank)]
        self._widths = [emit.add(count, extra) for count, extra in zip(self.counts, self.extra, strict=True)]
        self._weights: list[Dim] = [1]
        for width in reversed(self._widths[1:]):
            self._weights.insert(0, emit.mul(width, self._weights[0]))
        self._rows = self._tail()
        self._length = emit.mul(self.counts[0], self._weights[0])
        self._bounds: dict[tuple[Place, int], tuple[Value, Value]] = {}
        self._axis = emit.ints([LEADING])

    def flat(self, x: Value) -> Value:
        """A value over the positions, (N, H, D, *Q), with its rows as wide as a phase's: (N, H, D, P)."""
        rank = self.window.rank
        wide = self.emit.pad(x, LEADING + rank, {LEADING + axis: (0, self.extra[axis]) for axis in range(1, rank)})
        return wide if rank == 1 else self.emit.reshape(wide, [0, 0, 0, -1])

    def restore(self, flat: Value) -> Value:
        """(N, H, D, P) back to (N, H, D, *Q)."""
        rank = self.window.rank
        if rank == 1:
            return flat
        rows = self.emit.reshape(flat, [0, 0, 0, -1, *self._widths[1:]])
        cut = [axis for axis in range(1, rank) if self.extra[axis]]
        if not cut:
            return rows
        ends = [self.counts[axis] for axis in cut]
        return self.emit.slice(rows, [0] * len(cut), ends, [LEADING + axis for axis in cut])

    def shifts(self, x: Value) -> Iterator[Value]:
        """What each tap reads of a value over the space, (N, H, D, *S): K values (N, H, D, P), written when asked for."""
        space = self.space(x)
        for phase, hop in self.origins():
            yield space.shift(phase, hop)

    def origins(self) -> Iterator[tuple[Place, Place]]:
        """The phase that each tap reads, and where in it, along each axis."""
        for offset in self.window.offsets():
            phase = tuple(place % step for place, step in zip(offset, self.window.stride, strict=True))
            yield phase, tuple(place // step for place, step in zip(offset, self.window.stride, strict=True))

    def space(self, x: Value) -> "Space":
        """A value over the space, (N, H, D, *S), padded for shifts of it."""
        return Space(self, self._padded(x))

    def _tail(self) -> int:
        """Rows of the first axis that the last tap reads behind the last one, columns of no position among it.

        Rows that share zeros are S + max(before, after) wide, more than half of a reach; others are wider than it.
        """
        hops = [reach // step for reach, step in zip(self.window.reach, self.window.stride, strict=True)]
        if all(isinstance(weight, int) for weight in self._weights):
            farthest = sum(hop * weight for hop, weight in zip(hops[1:], self._weights[1:], strict=True))
            return int(-(-farthest // self._weights[0]))
        return 2 if any(hop != extra for hop, extra in zip(hops, self.extra, strict=True)) else 1

    def _padded(self, x: Value) -> Value:
        window = self.window
        amounts = {}
        for axis in range(window.rank):
            shared = window.reach[axis] // window.stride[axis] - self.extra[axis]
            rows = self._rows * window.stride[0] if axis == 0 else 0
            after = window.after[axis] - shared + window.stride[axis] - 1 + rows
            amounts[LEADING + axis] = (window.before[axis], after)
        return self.emit.pad(x, LEADING + window.rank, amounts)

    def phase(self, padded: Value, phase: Place) -> Value:
        """One phase of a padded value, flat: (N, H, D, all its places)."""
        window, emit = self.window, self.emit
        axes = [axis for axis in range(window.rank) if window.stride[axis] > 1]
        if axes:
            starts = [phase[axis] for axis in axes]
            ends, steps = [], [window.stride[axis] for axis in axes]
            for axis in axes:
                rows = emit.add(self._widths[axis], self._rows if axis == 0 else 0)
                ends.append(emit.add(emit.mul(rows, window.stride[axis]), phase[axis] - window.stride[axis] + 1))
            padded = emit.slice(padded, starts, ends, [LEADING + axis for axis in axes], steps)
        return padded if window.rank == 1 else emit.reshape(padded, [0, 0, 0, -1])

    def cut(self, flat: Value, hop: Place, more: int = 0) -> Value:
        """Places ``hop`` to ``hop + P + more`` of a flat value."""
        if (hop, more) not in self._bounds:
            start: Dim = 0
            for steps, weight in zip(hop, self._weights, strict=True):
                if steps:
                    start = self.emit.add(self.emit.mul(weight, steps), start)
            end = self.emit.add(self.emit.add(self._length, more), start)
            self._bounds[hop, more] = (self.emit.vector([start]), self.emit.vector([end]))
        start_vector, end_vector = self._bounds[hop, more]
        return self.emit.op("Slice", flat, start_vector, end_vector, self._axis)


class Space:
    """Shifts of one value over the space; each phase is written once, when first asked for."""

    def __init__(self, taps: WindowShifts, padded: Value) -> None:
        self._taps, self._padded = taps, padded
        self._phases: dict[Place, Value] = {}

    def shift(self, phase: Place, hop: Place, more: int = 0) -> Value:
        """``phase`` from ``hop`` on: (N, H, D, P + more)."""
        if phase not in self._phases:
            self._phases[phase] = self._taps.phase(self._padded, phase)
        return self._taps.cut(self._phases[phase], hop, more)


def columns_of(window: LocalWindow) -> dict[int, list[int]]:
    """The taps, by number, of each hop along the last axis."""
    columns: dict[int, list[int]] = {}
    for tap, offset in enumerate(window.offsets()):
        columns.setdefault(offset[-1] // window.stride[-1], []).append(tap)
    return columns


def skew_refusal(window: LocalWindow) -> str | None:
    """Why a window has nothing to gain."""
    if window.rank == 1:
        return "one space axis has no other along which keys could move"
    if len(columns_of(window)) == 1:
        return "a window of one column has nothing to share between columns"
    return None


class Skew:
    """The moved tensors of one node's window; see the file's heading."""

    def __init__(self, emit: GraphBuilder, taps: WindowShifts) -> None:
        self.emit, self.taps = emit, taps
        self.columns = columns_of(taps.window)
        self._longest = max(self.columns)

    def moved(self, flat: Value, hop: int) -> Value:
        """What belongs to positions, (N, H, any, P), moved by a column's hop: (N, H, any, P + B)."""
        return self.emit.pad(flat, LEADING + 1, {LEADING: (hop, self._longest - hop)})

    def reads(self, x: Value) -> list[Value]:
        """What each tap reads at p' of a value over the space, (N, H, D, *S): K values (N, H, D, P + B), most the same."""
        space = self.taps.space(x)
        found: dict[tuple[Place, Place], Value] = {}
        taps = []
        for phase, hop in self.taps.origins():
            where = phase, (*hop[:-1], 0)
            if where not in found:
                found[where] = space.shift(*where, more=self._longest)
            taps.append(found[where])
        return taps

    def back(self, x: Value, hop: int) -> Value:
        """(N, H, any, P + B) of one column at its positions: (N, H, any, P)."""
        return self.taps.cut(x, (*[0] * (self.taps.window.rank - 1), hop))
