"""Two-way shifts: queries and sums move along the last axis, keys and values along the others; no Slice for each tap.

A flat shift (``local_taps``) is a hop a along the leading axes and a hop b along the last one, and

    query[p] * key[p + a + b] = query[p' - b] * key[p' + a]     at p' = p + b

so that the query moved by b and the key moved by a, P + B places long for the longest hop B along the last axis, meet
in every product of the two: 2k moved tensors for k*k taps. What is made at p' stays there. What all taps of a column b
share is moved back by one Slice, and a sum over taps is one for each column, moved back and added:

    sum over t of w_t[p] * value[p + a + b] = sum over b of back_b(sum over a of w_t[p' - b] * value[p' + a])
"""

from __future__ import annotations

from ..graph.builder import GraphBuilder, Value
from .local_taps import Place, WindowShifts
from .local_window import LEADING, LocalWindow


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
