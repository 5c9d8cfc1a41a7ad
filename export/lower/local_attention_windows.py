"""LocalAttention with its windows written out: few operators, K times the memory.

    W(x)[n, h, d, t, p] = shift_t(x)[n, h, d, p]                                    Concat of K Slices
    s = scale * (sum over d of compose(query, W(key) + relative)) + bias            (N, H, K, P)
    y = sum over t of softmax(s)[n, h, t, p] * W(value)[n, h, d, t, p]

A GPU starts each operator anew, so that a dozen large ones beat the hundreds of small ones of ``local_attention_shifts``;
on a CPU the windows leave the cache. Shifts: see ``local_taps``. Source: Ramachandran et al., arXiv:1906.05909, eq. 3.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.values import known
from .local_attention_shifts import attention_refusal, bias_over_taps
from .local_correlation_shifts import composed, transposed
from .local_taps import WindowShifts
from .local_window import CORES, GPU, MachineCosts, given, lengths, shifted_values, window_of
from .lowering import Lowering


def _cost(node: Any, machine: MachineCosts = CORES) -> float:
    window = window_of(node)
    heads, channels = lengths(node.inputs[0], 1, 2)
    value_channels = lengths(node.inputs[2], 2, 1)[0]
    values = shifted_values(window, node.inputs[0]) * heads * window.taps
    passes = (6.5 * (channels + value_channels) + 6) / machine.parallel
    return machine.value * values * passes + machine.node * (2 * window.taps + 12)


def _build(emit: GraphBuilder, node: Any) -> Value:
    query, key, value = node.inputs[:3]
    bias, relative = given(node, 3), given(node, 4)
    compose, scale = node.attrs.get("compose", "product"), float(node.attrs.get("scale", 1.0))
    taps = WindowShifts(emit, window_of(node), query)
    flat = taps.flat(query)
    if compose == "product" and scale != 1.0:
        flat = emit.op("Mul", flat, emit.constant(scale, query.dtype, "scale"))
    keys = _windows(emit, taps, key)
    separate = relative is not None and compose == "product" and known(query, 2) != 1
    if relative is not None and not separate:
        keys = emit.op("Add", keys, emit.unsqueeze(relative, [0, 4]))
    scores = composed(emit, emit.unsqueeze(flat, [3]), keys, compose)
    scores = emit.op("ReduceSum", scores, emit.ints([2]), keepdims=0)
    if separate:
        scores = emit.op("Add", scores, emit.op("MatMul", transposed(emit, relative), flat))
    if compose != "product" and scale != 1.0:
        scores = emit.op("Mul", scores, emit.constant(scale, query.dtype, "scale"))
    if bias is not None:
        scores = emit.op("Add", scores, bias_over_taps(emit, taps, bias))
    weights = emit.unsqueeze(emit.op("Softmax", scores, axis=2), [2])
    weighted = emit.op("Mul", weights, _windows(emit, taps, value))
    return taps.restore(emit.op("ReduceSum", weighted, emit.ints([3]), keepdims=0))


def _windows(emit: GraphBuilder, taps: WindowShifts, x: Value) -> Value:
    """(N, H, D, *S) -> (N, H, D, K, P)."""
    return emit.reshape(emit.concat(list(taps.shifts(x)), axis=3), [0, 0, 0, taps.window.taps, -1])


LOWERING = Lowering(
    "local_attention_windows", "LocalAttention", attention_refusal, _cost, _build, lambda node: _cost(node, GPU)
)
