"""LocalAttention by two-way shifts: as ``local_attention_shifts``, with a Slice for each row and column of a window only.

    s_t = scale * (compose(query moved by b, key moved by a) summed over d) + bias_t, at the places p' = p + b
    m = max over b of back_b(max over a of s_t);   e_t = exp(s_t - m moved by b)
    y = sum over b of back_b(sum over a of e_t * value moved by a) / sum over b of back_b(sum over a of e_t)

A Slice is what ONNX Runtime does on one core, and a third of the time of a dot product with k = 7: of 2 k*k Slices of
all channels 4k remain. All K scores are alive at once. Two-way shifts: see ``local_taps``.
Source: Ramachandran et al., arXiv:1906.05909, eq. 3.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.values import constant_values, known
from .local_attention_shifts import attention_refusal, bias_by_tap, same_everywhere
from .local_correlation_shifts import composed, relative_by_tap
from .local_taps import Skew, WindowShifts, columns_of, skew_refusal
from .local_window import CORES, GPU, MachineCosts, given, lengths, shifted_values, window_of
from .lowering import Lowering, Where


def _refuse(node: Any, where: Where) -> str | None:
    relative = given(node, 4)
    if relative is not None and constant_values(relative) is None:
        return "the relative term is computed, not constant"
    return skew_refusal(window_of(node)) or attention_refusal(node, where)


def _cost(node: Any, machine: MachineCosts = CORES) -> float:
    window = window_of(node)
    heads, channels = lengths(node.inputs[0], 1, 2)
    value_channels = lengths(node.inputs[2], 2, 1)[0]
    columns = len(columns_of(window))
    rows = window.taps / columns
    values = shifted_values(window, node.inputs[0]) * heads
    sliced = 0.85 * (rows * (channels + value_channels) + columns * (channels + value_channels + 3))
    shared = window.taps * (0.85 * channels + 1.45 * value_channels + 5) + columns * value_channels
    # What was not just sliced lies farther away.
    return machine.value * values * (sliced + 1.12 * shared / machine.parallel) + machine.node * (
        7 * window.taps + 8 * columns
    )


def _build(emit: GraphBuilder, node: Any) -> Value:
    query, _, value = node.inputs[:3]
    taps = WindowShifts(emit, window_of(node), query)
    skew = Skew(emit, taps)
    columns = skew.columns
    scores = _scores(emit, skew, node)
    tallest = [skew.back(_largest(emit, [scores[tap] for tap in column]), hop) for hop, column in columns.items()]
    highest = _largest(emit, tallest)
    values = skew.reads(value)
    tops, bottoms = [], []
    for hop, column in columns.items():
        level = skew.moved(highest, hop)
        weights = [emit.op("Exp", emit.op("Sub", scores[tap], level)) for tap in column]
        bottoms.append(skew.back(emit.sum(weights), hop))
        products = [emit.op("Mul", weight, values[tap]) for weight, tap in zip(weights, column, strict=True)]
        tops.append(skew.back(emit.sum(products), hop))
    return taps.restore(emit.op("Div", emit.sum(tops), emit.sum(bottoms)))


def _scores(emit: GraphBuilder, skew: Skew, node: Any) -> dict[int, Value]:
    """The scores of each tap at its column's places: (N, H, 1, P + B) each."""
    query, key = node.inputs[:2]
    dtype, single = query.dtype, known(query, 2) == 1
    compose, scale = node.attrs.get("compose", "product"), float(node.attrs.get("scale", 1.0))
    factor = None if scale == 1.0 else emit.constant(scale, dtype, "scale")
    flat = skew.taps.flat(query)
    if compose == "product" and factor is not None:
        flat, factor = emit.op("Mul", flat, factor), None
    count = skew.taps.window.taps
    relative, bias = constant_values(given(node, 4)), given(node, 3)
    product_term = relative if relative is not None and compose == "product" and not single else None
    added = None if relative is None or product_term is not None else relative_by_tap(emit, given(node, 4), count)
    terms = None if bias is None else bias_by_tap(emit, skew.taps, bias)
    level = bias is not None and same_everywhere(bias, skew.taps.window.rank)
    keys, scores = skew.reads(key), {}
    for hop, column in skew.columns.items():
        moved = skew.moved(flat, hop)
        separate = None
        if product_term is not None:
            rows = emit.constant(product_term[:, :, column].transpose(0, 2, 1)[None], dtype, "relative")
            separate = emit.split(emit.op("MatMul", rows, moved), len(column), axis=2)
        for place, tap in enumerate(column):
            score = composed(
                emit, moved, keys[tap] if added is None else emit.op("Add", keys[tap], added[tap]), compose
            )
            if not single:
                score = emit.op("ReduceSum", score, emit.ints([2]), keepdims=1)
            if factor is not None:
                score = emit.op("Mul", score, factor)
            if separate is not None:
                score = emit.op("Add", score, separate[place])
            if terms is not None:
                score = emit.op("Add", score, terms[tap] if level else skew.moved(terms[tap], hop))
            scores[tap] = score
    return scores


def _largest(emit: GraphBuilder, values: list[Value]) -> Value:
    return values[0] if len(values) == 1 else emit.op("Max", *values)


LOWERING = Lowering("local_attention_skewed", "LocalAttention", _refuse, _cost, _build, lambda node: _cost(node, GPU))
