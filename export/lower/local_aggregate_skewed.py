"""LocalAggregate by two-way shifts: weights move along the last axis, values along the others.

    y = sum over b of back_b(sum over a of weights_t moved by b * value moved by a)

Weights have one channel where values have D, so that a move of theirs is D times cheaper than the Slice of the values that
it saves: k + k moves of D channels and k*k of one, instead of k*k of D. Two-way shifts: see ``local_taps``.
Source: Ramachandran et al., arXiv:1906.05909, eq. 3; Li et al., arXiv:2103.06255 (involution).
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from .local_aggregate_shifts import aggregate_refusal
from .local_taps import Skew, WindowShifts, columns_of, skew_refusal
from .local_window import CORES, lengths, shifted_values, window_of
from .lowering import Lowering, Where


def _refuse(node: Any, where: Where) -> str | None:
    return skew_refusal(window_of(node)) or aggregate_refusal(node, where)


def _cost(node: Any) -> float:
    window = window_of(node)
    heads, channels = lengths(node.inputs[1], 1, 2)
    columns = len(columns_of(window))
    values = shifted_values(window, node.inputs[0]) * heads
    moved = 0.85 * (window.taps * 2 + (window.taps / columns + columns) * channels)
    shared = 1.12 * (window.taps * 1.45 * channels + columns * channels) / CORES.parallel
    return CORES.value * values * (moved + shared) + CORES.node * (3 * window.taps + 3 * columns)


def _build(emit: GraphBuilder, node: Any) -> Value:
    weights, value = node.inputs[:2]
    taps = WindowShifts(emit, window_of(node), weights)
    skew = Skew(emit, taps)
    by_tap = emit.split(taps.flat(weights), taps.window.taps, axis=2)
    values = skew.reads(value)
    sums = []
    for hop, column in skew.columns.items():
        products = [emit.op("Mul", skew.moved(by_tap[tap], hop), values[tap]) for tap in column]
        sums.append(skew.back(emit.sum(products), hop))
    return taps.restore(emit.sum(sums))


LOWERING = Lowering("local_aggregate_skewed", "LocalAggregate", _refuse, _cost, _build)
