"""LocalCorrelation by flat shifts: one composition and one channel sum per tap, and no unfolded tensor.

    scores[n, h, t, p] = sum over d of compose(query[n, h, d, p], shift_t(key)[n, h, d, p] + relative[h, d, t])

For the product the relative term is one MatMul, relative^T query, split by tap. Shifts: see ``local_taps``.
Source: Ramachandran et al., arXiv:1906.05909, eq. 3; Hu et al., arXiv:1904.11491 (differences).
"""

from collections.abc import Iterator
from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.values import constant_values, known
from .local_taps import WindowShifts
from .local_window import CPU, given, lengths, shifted_values, window_of, window_refusal
from .lowering import Lowering, Where

COMPOSITIONS = ("product", "squared_difference", "absolute_difference")


def tap_scores(
    emit: GraphBuilder,
    taps: WindowShifts,
    query: Value,
    key: Value,
    relative: Value | None,
    compose: str,
    scale: float = 1.0,
) -> Iterator[Value]:
    """The scores of each tap, ``scale`` times what the formula says: K values (N, H, 1, P), written when asked for."""
    single = known(query, 2) == 1
    flat = taps.flat(query)
    if compose == "product" and scale != 1.0:
        flat = emit.op("Mul", flat, emit.constant(scale, query.dtype, "scale"))
    by_tap: list[Value | None] = [None] * taps.window.taps
    separate: list[Value] = []
    if relative is not None and compose == "product" and not single:
        separate = emit.split(emit.op("MatMul", transposed(emit, relative), flat), taps.window.taps, axis=2)
    elif relative is not None:
        by_tap = list(relative_by_tap(emit, relative, taps.window.taps))
    for index, (shift, added) in enumerate(zip(taps.shifts(key), by_tap, strict=True)):
        keys = shift if added is None else emit.op("Add", shift, added)
        score = composed(emit, flat, keys, compose)
        if not single:
            score = emit.op("ReduceSum", score, emit.ints([2]), keepdims=1)
        if separate:
            score = emit.op("Add", score, separate[index])
        if compose != "product" and scale != 1.0:
            score = emit.op("Mul", score, emit.constant(scale, query.dtype, "scale"))
        yield score


def composed(emit: GraphBuilder, query: Value, keys: Value, compose: str) -> Value:
    """Each query value with a key value, before the sum over channels."""
    if compose == "product":
        return emit.op("Mul", query, keys)
    difference = emit.op("Sub", query, keys)
    if compose == "absolute_difference":
        return emit.op("Abs", difference)
    return emit.op("Mul", difference, difference)


def transposed(emit: GraphBuilder, relative: Value) -> Value:
    """relative (H or 1, D, K) as (1, H or 1, K, D)."""
    values = constant_values(relative)
    if values is not None:
        return emit.constant(values.transpose(0, 2, 1)[None], values.dtype, "relative")
    return emit.unsqueeze(emit.transpose(relative, [0, 2, 1]), [0])


def relative_by_tap(emit: GraphBuilder, relative: Value, taps: int) -> list[Value]:
    """What is added to the keys of each tap: relative (H or 1, D, K) as K values (1, H or 1, D, 1)."""
    values = constant_values(relative)
    if values is not None:
        return [emit.constant(values[None, :, :, t : t + 1], values.dtype, "relative") for t in range(taps)]
    return emit.split(emit.unsqueeze(relative, [0]), taps, axis=3)


def correlation_refusal(node: Any, where: Where) -> str | None:
    """Why the query or the key of a node (inputs 0 and 1) cannot be shifted."""
    compose = node.attrs.get("compose", "product")
    if compose not in COMPOSITIONS:
        return f"compose {compose!r} is not one of {', '.join(COMPOSITIONS)}"
    return window_refusal({"query": node.inputs[0], "key": node.inputs[1]}, window_of(node).rank)


def _cost(node: Any) -> float:
    window = window_of(node)
    heads, channels = lengths(node.inputs[0], 1, 2)
    return CPU.value * window.taps * shifted_values(window, node.inputs[0]) * heads * (2 * channels + 2)


def _build(emit: GraphBuilder, node: Any) -> Value:
    query, key = node.inputs[:2]
    taps = WindowShifts(emit, window_of(node), query)
    scores = tap_scores(emit, taps, query, key, given(node, 2), node.attrs.get("compose", "product"))
    return taps.restore(emit.concat(list(scores), axis=2))


LOWERING = Lowering("local_correlation_shifts", "LocalCorrelation", correlation_refusal, _cost, _build)
