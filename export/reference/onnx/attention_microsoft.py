"""Attention and rotary embeddings of the domain com.microsoft. Source: ContribOperators.md of ONNX Runtime.

A place that a mask forbids gets ``mask_filter_value`` added to its score, not minus infinity; a causal mask is exact.
"""

import numpy as np

from .attention import causal, heads, joined, merged, rotated, weighted
from .call import Array, Call, Kernel, NotCovered


def _rotary_embedding(call: Call) -> list[Array]:
    """Inputs: x, positions (N, L) or one offset, cosines, sines."""
    x, positions, cos, sin = call.real(0), call.array(1), call.real(2), call.real(3)
    if call.flag("is_packed_batching") or call.number("scale", 1.0) != 1:
        raise NotCovered
    length = x.shape[-2]
    if positions.size == 1:
        positions = np.broadcast_to(positions.reshape(1, 1) + np.arange(length), (x.shape[0], length))
    count = call.integer("num_heads", 0) or (x.shape[-1] // (2 * cos.shape[-1]) if x.ndim == 3 else x.shape[1])
    y = rotated(heads(x, count), cos[positions], sin[positions], call.flag("interleaved"))
    return [y if x.ndim == 4 else merged(y)]


def _forbidden(call: Call, mask: Array | None, batch: int, rows: int, columns: int) -> Array:
    """What a mask adds to the scores (N, heads, rows, columns): lengths (N,), or ones and zeros (N, columns) or (N, rows, columns)."""
    if mask is None:
        return np.zeros((1, 1, 1, 1))
    if mask.shape == (batch,):
        allowed = np.arange(columns)[None, None, :] < mask.reshape(-1, 1, 1)
    elif mask.shape == (batch, columns):
        allowed = mask[:, None, :] != 0
    elif mask.shape == (batch, rows, columns):
        allowed = mask != 0
    else:
        raise NotCovered
    return np.where(allowed, 0.0, call.number("mask_filter_value", -10000.0))[:, None]


def _attended(call: Call, q: Array, k: Array, v: Array, mask: Array | None, bias: Array | None) -> Array:
    """q (N, heads, L, D), k and v (N, heads, T, .) -> (N, L, heads * .)."""
    scores = np.matmul(q, k.swapaxes(-1, -2)) * (call.number("scale", 0.0) or 1 / np.sqrt(q.shape[-1]))
    rows, columns = scores.shape[-2:]
    if bias is not None:
        scores = scores + bias
    scores = scores + _forbidden(call, mask, q.shape[0], rows, columns)
    if call.flag("unidirectional"):
        scores = np.where(causal(rows, columns, columns - rows), scores, -np.inf)
    return merged(weighted(scores, v)[1])


def _multi_head(call: Call) -> list[Array]:
    """Inputs: query, key, value, bias, mask, bias of the scores, past key, past value; keys and values may have four axes."""
    count = call.integer("num_heads", 0)
    q, k, v = (call.real(n) for n in range(3))
    if q.ndim != 3 or k.ndim != v.ndim or any(call.present(n) for n in (8, 9)) or any(call.outputs[3:]):
        raise NotCovered
    if call.present(3):
        width, bias = q.shape[-1], call.real(3)
        q = q + bias[:width]
        if k.ndim == 3:
            k, v = k + bias[width : 2 * width], v + bias[2 * width :]
        elif bias[width:].any():
            raise NotCovered
    q, k, v = (heads(x, count) for x in (q, k, v))
    past = [call.real(n) if call.present(n) else None for n in (6, 7)]
    k, v = joined(past[0], k), joined(past[1], v)
    mask = call.array(4) if call.present(4) else None
    return [_attended(call, q, k, v, mask, call.real(5) if call.present(5) else None), k, v]


def _self_attention(call: Call) -> list[Array]:
    """x (N, L, C) with one matrix and one bias for query, key and value; then mask, past (2, N, heads, P, D), bias of the scores."""
    x, weight = call.real(0), call.real(1)
    if call.present(6) or call.flag("do_rotary") or call.flag("past_present_share_buffer"):
        raise NotCovered
    projected = np.matmul(x, weight) + (call.real(2) if call.present(2) else 0.0)
    sizes = call.integers("qkv_hidden_sizes") or [weight.shape[1] // 3] * 3
    q, k, v = (heads(part, call.integer("num_heads", 1)) for part in np.split(projected, np.cumsum(sizes)[:2], -1))
    if call.present(4):
        past = call.real(4)
        k, v = joined(past[0], k), joined(past[1], v)
    mask = call.array(3) if call.present(3) else None
    y = _attended(call, q, k, v, mask, call.real(5) if call.present(5) else None)
    return [y, np.stack([k, v])] if len(call.outputs) > 1 else [y]


def _grouped(call: Call) -> list[Array]:
    """GroupQueryAttention when all sequences have one length and the past holds exactly what came before."""
    past = [call.real(n) if call.present(n) and call.real(n).size else None for n in (3, 4)]
    counts = call.integer("num_heads", 1), call.integer("kv_num_heads", 1)
    odd = call.flag("smooth_softmax") or call.integer("local_window_size", -1) != -1 or len(call.inputs) > 9
    if not call.present(1) or not call.present(2) or odd:
        raise NotCovered
    q, k, v = heads(call.real(0), counts[0]), heads(call.real(1), counts[1]), heads(call.real(2), counts[1])
    before, rows = 0 if past[0] is None else past[0].shape[2], q.shape[2]
    total = before + rows
    if (call.array(5) != total - 1).any() or int(call.array(6).reshape(-1)[0]) != total:
        raise NotCovered
    if call.flag("do_rotary"):
        cos, sin = (call.real(n)[None, before:total] for n in (7, 8))
        q, k = (rotated(x, cos, sin, call.flag("rotary_interleaved")) for x in (q, k))
    k, v = joined(past[0], k), joined(past[1], v)
    group = counts[0] // counts[1]
    scale = call.number("scale", 0.0) or 1 / np.sqrt(q.shape[-1])
    scores = np.matmul(q, np.repeat(k, group, 1).swapaxes(-1, -2)) * scale
    softcap = call.number("softcap", 0.0)
    scores = softcap * np.tanh(scores / softcap) if softcap else scores
    scores = np.where(causal(rows, total, before), scores, -np.inf)
    return [merged(weighted(scores, np.repeat(v, group, 1))[1]), k, v]


MICROSOFT: dict[str, Kernel] = {
    "Attention": _self_attention,
    "GroupQueryAttention": _grouped,
    "MultiHeadAttention": _multi_head,
    "RotaryEmbedding": _rotary_embedding,
}
"""By operator of the domain com.microsoft."""
