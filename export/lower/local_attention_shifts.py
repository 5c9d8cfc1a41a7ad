"""LocalAttention by flat shifts: scores, exponentials and sums tap by tap, and no unfolded tensor.

    s_t = scale * (compose(query, shift_t(key)) summed over d) + bias_t          (N, H, 1, P) each
    m = max over t of s_t;   e_t = exp(s_t - m)
    y = (sum over t of e_t * shift_t(value)) / (sum over t of e_t)

Every form of local attention fits: any composition, per head, per channel (H = C, D = 1) or shared by channels. With
many heads the K scores no longer fit a cache: then taps are taken in runs of a window's last axis, and what one run gave
is rescaled by exp(m_old - m_new) before the next is added, which is exact (online softmax, Milakov and Gimelshein,
arXiv:1805.02867):

    b = b_old * exp(m_old - m) + sum over the run of e_t;   y = (y_old * b_old * exp(m_old - m) + sum of e_t * value_t) / b

Dividing after every run makes ONNX Runtime add up a run's weights while it has them, instead of all K at the end; where a
run may be masked as a whole, b may still be 0 and only the last one divides. Shifts: see ``local_taps``. Source:
Ramachandran et al., arXiv:1906.05909, eq. 3.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from ..graph.builder import GraphBuilder, Value
from ..graph.values import constant_values, known
from .local_aggregate_shifts import weighted_sum
from .local_correlation_shifts import correlation_refusal, tap_scores
from .local_taps import WindowShifts
from .local_window import CORES, GPU, LEADING, MachineCosts, given, lengths, shifted_values, window_of, window_refusal
from .lowering import Lowering, Where

MANY_HEADS = 32
"""From here on the scores of a 56 x 56 map leave the cache between two passes over them."""
CACHED, CROWDED = 1 << 20, 2.0
"""Values of one shift from which on it leaves the cache between two operators, and how much slower they are then."""


def attention_refusal(node: Any, where: Where) -> str | None:
    """Why the inputs of a LocalAttention cannot be shifted."""
    rank = window_of(node).rank
    windowed = {"value": node.inputs[2]}
    if (bias := given(node, 3)) is not None:
        windowed["bias"] = bias
    return correlation_refusal(node, where) or window_refusal(windowed, rank)


def _cost(node: Any, machine: MachineCosts = CORES) -> float:
    window = window_of(node)
    heads, channels = lengths(node.inputs[0], 1, 2)
    value_channels = lengths(node.inputs[2], 2, 1)[0]
    sliced = 0.85 * (channels + value_channels)
    passes = sliced + (0.85 * channels + 1.45 * value_channels + 5) / machine.parallel
    values = shifted_values(window, node.inputs[0]) * heads
    crowded = CROWDED if values * max(channels, value_channels) > CACHED and machine is CORES else 1.0
    return window.taps * (crowded * machine.value * values * passes + 9 * machine.node)


def _build(emit: GraphBuilder, node: Any) -> Value:
    query, key, value = node.inputs[:3]
    taps = WindowShifts(emit, window_of(node), query)
    compose, scale = node.attrs.get("compose", "product"), float(node.attrs.get("scale", 1.0))
    scores = tap_scores(emit, taps, query, key, given(node, 4), compose, scale)
    bias = given(node, 3)
    if bias is not None:
        scores = _added(emit, scores, bias_by_tap(emit, taps, bias))
    shifts = taps.shifts(value)
    run = taps.window.kernel[-1] if (known(query, 1) or 1) >= MANY_HEADS else taps.window.taps
    # A run whose taps are all masked by -inf must not make exp(-inf + inf): its maximum is held at a finite value.
    floor = (
        None if run == taps.window.taps or _finite(bias) else emit.constant(np.finfo(query.dtype).min / 2, query.dtype)
    )
    maximum = total = result = None
    for _ in range(taps.window.taps // run):
        part = list(islice(scores, run))
        ceiling = [*part, *(entry for entry in (maximum, floor) if entry is not None)]
        highest = emit.op("Max", *ceiling) if len(ceiling) > 1 else part[0]
        kept = None
        if maximum is not None:
            fade = emit.op("Exp", emit.op("Sub", maximum, highest))
            total = emit.op("Mul", total, fade)
            kept = emit.op("Mul", result, total if floor is None else fade)
        maximum = highest
        weights = [emit.op("Exp", emit.op("Sub", score, maximum)) for score in part]
        result = weighted_sum(emit, weights, shifts, kept)
        total = emit.sum(weights if total is None else [total, *weights])
        if floor is None:
            result = emit.op("Div", result, total)
    return taps.restore(result if floor is None else emit.op("Div", result, total))


def _finite(bias: Value | None) -> bool:
    """Whether no entry can be -inf."""
    values = constant_values(bias)
    return bias is None or (values is not None and bool(np.isfinite(values).all()))


def _added(emit: GraphBuilder, scores: Iterator[Value], terms: list[Value]) -> Iterator[Value]:
    for score, term in zip(scores, terms, strict=True):
        yield emit.op("Add", score, term)


def same_everywhere(bias: Value, rank: int) -> bool:
    """Whether a bias (N|1, H|1, K|1, *Q|1) is known not to depend on the position."""
    return all(known(bias, LEADING + axis) == 1 for axis in range(rank))


def bias_over_taps(emit: GraphBuilder, taps: WindowShifts, bias: Value) -> Value:
    """bias (N|1, H|1, K|1, *Q|1) over flat positions: (N|1, H|1, K|1, P|1)."""
    rank = taps.window.rank
    values = constant_values(bias)
    if values is not None and values.shape[LEADING:] == (1,) * rank:
        return emit.constant(values.reshape(*values.shape[:LEADING], 1), values.dtype, "bias")
    if same_everywhere(bias, rank):
        return emit.reshape(bias, [0, 0, 0, 1])
    if any(known(bias, LEADING + axis) == 1 for axis in range(rank)):
        bias = emit.op("Expand", bias, emit.vector([1, 1, 1, *taps.counts]))
    return taps.flat(bias)


def bias_by_tap(emit: GraphBuilder, taps: WindowShifts, bias: Value) -> list[Value]:
    """What is added to the scores of each tap: bias (N|1, H|1, K|1, *Q|1) as K values (N|1, H|1, 1, P|1)."""
    count = taps.window.taps
    whole = bias_over_taps(emit, taps, bias)
    values = constant_values(whole)
    if values is not None:
        columns = np.broadcast_to(values, (*values.shape[:2], count, values.shape[3]))
        return [emit.constant(columns[:, :, t : t + 1], values.dtype, "bias") for t in range(count)]
    return [whole] * count if known(bias, 2) == 1 else emit.split(whole, count, axis=2)


LOWERING = Lowering(
    "local_attention_shifts", "LocalAttention", attention_refusal, _cost, _build, lambda node: _cost(node, GPU)
)
