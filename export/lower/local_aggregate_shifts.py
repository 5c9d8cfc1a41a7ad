"""LocalAggregate by flat shifts: one product per tap, added up, and no unfolded tensor.

    y[n, h, d, p] = sum over t of weights[n, h, t, p] * shift_t(value)[n, h, d, p]

The running sum keeps two tensors of the output's size alive, whatever K is. Shifts: see ``local_taps``.
Source: Ramachandran et al., arXiv:1906.05909, eq. 3; Li et al., arXiv:2103.06255 (involution).
"""

from collections.abc import Iterator
from typing import Any

from ..graph.builder import GraphBuilder, Value
from .local_taps import WindowShifts
from .local_window import CORES, lengths, shifted_values, window_of, window_refusal
from .lowering import Lowering, Where


def weighted_sum(
    emit: GraphBuilder, weights: list[Value], shifts: Iterator[Value], start: Value | None = None
) -> Value:
    """``start`` plus the sum of weights (N, H, 1, P) times as many of ``shifts`` (N, H, D, P), from the left."""
    total = start
    for weight in weights:
        product = emit.op("Mul", weight, next(shifts))
        total = product if total is None else emit.op("Add", total, product)
    return total


def aggregate_refusal(node: Any, where: Where) -> str | None:
    """Why the inputs of a LocalAggregate cannot be shifted."""
    return window_refusal({"weights": node.inputs[0], "value": node.inputs[1]}, window_of(node).rank)


def _cost(node: Any) -> float:
    window = window_of(node)
    heads, channels = lengths(node.inputs[1], 1, 2)
    passes = 0.85 * (channels + 1) + 1.45 * channels / CORES.parallel
    values = shifted_values(window, node.inputs[0]) * heads
    return CORES.value * window.taps * values * passes + 3 * CORES.node * window.taps


def _build(emit: GraphBuilder, node: Any) -> Value:
    weights, value = node.inputs[:2]
    taps = WindowShifts(emit, window_of(node), weights)
    by_tap = emit.split(taps.flat(weights), taps.window.taps, axis=2)
    return taps.restore(weighted_sum(emit, by_tap, taps.shifts(value)))


LOWERING = Lowering("local_aggregate_shifts", "LocalAggregate", aggregate_refusal, _cost, _build)
