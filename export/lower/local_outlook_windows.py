"""LocalOutlook as it is defined: windows written out, one product of small matrices per position, and a fold by phases.

    windows[n, h, p, t, d]: one Slice per place, stacked            mixed[n, h, p, o, d] = weights[n, h, p, o, t] @ windows
    y[n, h, stride*g + c, d] = sum over the places o that write into phase c of mixed[n, h, g + step, o, d]

Channels are last in between, so that every Slice and stack copies whole rows of them. Few operators, K times the memory; with
a stride the windows hold little more than the values, and this is the quicker form. Which places write into a phase, and from
which position: see ``outlook_cells``. Source: Yuan et al., arXiv:2106.13112, algorithm 1.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from ..graph.builder import Dim, GraphBuilder, Value
from .local_outlook_shifts import outlook_refusal, zeros_like
from .local_window import CPU, GPU, LEADING, LocalWindow, batch_of, lengths, window_of
from .lowering import Lowering
from .outlook_cells import Cells

FRONT = 2
"""Axes before the space where channels are last: batch and heads."""
CACHED = 1e6
"""Values of windows beyond which every pass over them goes to memory: measured at 0.3 to 2.7 million values."""


def _windows(emit: GraphBuilder, window: LocalWindow, x: Value, counts: Sequence[Dim]) -> Value:
    """(N, H, *S, D) -> (N, H, *P, K, D)."""
    axes = [FRONT + axis for axis in range(window.rank)]
    pads = dict(zip(axes, zip(window.before, window.after, strict=True), strict=True))
    x = emit.pad(x, len(axes) + 3, pads)
    parts = []
    for offset in window.offsets():
        ends = [
            emit.add(emit.mul(emit.sub(count, 1), step), place + 1)
            for place, count, step in zip(offset, counts, window.stride, strict=True)
        ]
        part = emit.slice(x, list(offset), ends, axes, list(window.stride))
        parts.append(emit.unsqueeze(part, [FRONT + window.rank]))
    return emit.concat(parts, axis=FRONT + window.rank)


def _folded(emit: GraphBuilder, window: LocalWindow, mixed: Value, counts: Sequence[Dim]) -> list[Value]:
    """(N, H, *P, K, D) -> for each phase (N, H, *cells, D), with ``counts`` cells."""
    cells, axes = Cells(window), range(window.rank)
    before = [max(0, -cells.first_step[a]) for a in axes]
    behind = [max(0, cells.last_step[a] - cells.fewest[a]) for a in axes]
    mixed = emit.pad(mixed, window.rank + 4, {FRONT + a: (before[a], behind[a]) for a in axes})
    along = [*(FRONT + a for a in axes), FRONT + window.rank]
    phases: list[Value | None] = []
    for phase in cells.phases:
        terms = []
        for offset, step in cells.writes[phase]:
            at = cells.offsets.index(offset)
            starts = [before[a] + step[a] for a in axes]
            ends = [emit.add(counts[a], starts[a]) for a in axes]
            terms.append(emit.slice(mixed, [*starts, at], [*ends, at + 1], along))
        phases.append(emit.squeeze(emit.sum(terms), [FRONT + window.rank]) if terms else None)
    some = next(phase for phase in phases if phase is not None)
    return [zeros_like(emit, some) if phase is None else phase for phase in phases]


def _build(emit: GraphBuilder, node: Any) -> Value:
    weights, value = node.inputs[:2]
    window = window_of(node)
    axes, stride = range(window.rank), window.stride
    space = [emit.dim(value, LEADING + a) for a in axes]
    cells = [emit.floordiv(emit.add(space[a], stride[a] - 1), stride[a]) for a in axes]
    counts = [emit.dim(weights, LEADING + 1 + a) for a in axes]
    last = emit.transpose(value, [0, 1, *(LEADING + a for a in axes), 2])
    by_position = emit.transpose(weights, [0, 1, *(LEADING + 1 + a for a in axes), 2, 3])
    mixed = emit.op("MatMul", by_position, _windows(emit, window, last, counts))
    parts = _folded(emit, window, mixed, cells)
    for a in (a for a in reversed(axes) if stride[a] > 1):
        columns = [emit.unsqueeze(part, [FRONT + a + 1]) for part in parts]
        stacks = [emit.concat(columns[at : at + stride[a]], FRONT + a + 1) for at in range(0, len(columns), stride[a])]
        behind = [emit.mul(cells[b], stride[b]) for b in axes if b > a]
        parts = [emit.reshape(stack, [*[0] * (FRONT + a), -1, *behind, emit.dim(value, 2)]) for stack in stacks]
    (y,) = parts
    cut = [a for a in axes if stride[a] > 1]
    y = emit.slice(y, [0] * len(cut), [space[a] for a in cut], [FRONT + a for a in cut]) if cut else y
    return emit.transpose(y, [0, 1, FRONT + window.rank, *(FRONT + a for a in axes)])


def _sizes(node: Any) -> tuple[LocalWindow, float, float, int]:
    """The window, matrices in all, values in all, and channels."""
    window, value = window_of(node), node.inputs[1]
    heads, channels = lengths(value, 1, 2)
    rows = float(batch_of(value) * heads)
    space = rows * prod(lengths(value, LEADING, window.rank)) * channels
    return window, rows * prod(lengths(node.inputs[0], LEADING + 1, window.rank)), space, channels


def _cost(node: Any) -> float:
    window, matrices, space, channels = _sizes(node)
    taps = window.taps
    product = matrices * (0.04 + 0.08e-3 * taps * taps * channels)
    moved = CPU.value * (4 * space + 3 * matrices * taps * channels) + 9e-3 * matrices * taps
    crowded = 2.2 if matrices * taps * channels > CACHED else 1.0
    return crowded * moved + product + CPU.node * (4 * taps + 12)


def _gpu_cost(node: Any) -> float:
    window, matrices, space, channels = _sizes(node)
    return GPU.value * (4 * space + 5 * matrices * window.taps * channels) + GPU.node * (4 * window.taps + 12)


LOWERING = Lowering("local_outlook_windows", "LocalOutlook", outlook_refusal, _cost, _build, _gpu_cost)
