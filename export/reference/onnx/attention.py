"""Attention and rotary embeddings of the standard (opset 23) and of the domain com.microsoft."""

import numpy as np
import torch

from .call import Array, Call, Kernel, NotCovered, as_array, as_torch


def _heads(x: Array, count: int) -> Array:
    """(N, L, heads * D) -> (N, heads, L, D); four axes stay as they are."""
    if x.ndim == 4:
        return x
    n, length, width = x.shape
    return np.swapaxes(x.reshape(n, length, count, width // count), 1, 2)


def _merged(x: Array) -> Array:
    n, heads, length, width = x.shape
    return np.reshape(np.swapaxes(x, 1, 2), (n, length, heads * width))


def _joined(past: Array | None, x: Array) -> Array:
    return x if past is None or not past.size else np.concatenate([past, x], 2)


def _weighted(scores: Array, values: Array) -> tuple[Array, Array]:
    """The softmax of the scores, zero in a row without any place, and the values that it weighs."""
    weights = as_array(torch.softmax(as_torch(scores), -1))
    weights = np.where(np.isfinite(scores).any(-1, keepdims=True), weights, 0.0)
    return weights, np.matmul(weights, values)


def _causal(rows: int, columns: int, first: int) -> Array:
    """True where a row may look: row i sees the columns up to ``first + i``."""
    return np.arange(columns)[None] <= np.arange(rows)[:, None] + first


def _attention(call: Call) -> list[Array]:
    """softmax(softcap(scale Q K') + mask) V, with grouped heads, a past, and the scores of one step as an output."""
    q, k, v = (call.real(n) for n in range(3))
    flat = q.ndim == 3
    q = _heads(q, call.integer("q_num_heads", 0))
    k, v = (_heads(x, call.integer("kv_num_heads", 0)) for x in (k, v))
    past = [call.real(n) if call.present(n) else None for n in (4, 5)]
    k, v = _joined(past[0], k), _joined(past[1], v)
    before = 0 if past[0] is None else past[0].shape[2]
    if call.present(6):
        raise NotCovered
    group = q.shape[1] // k.shape[1]
    scale = call.number("scale", 0.0) or 1 / np.sqrt(q.shape[-1])
    scores = np.matmul(q, np.repeat(k, group, 1).swapaxes(-1, -2)) * scale
    mode, steps = call.integer("qk_matmul_output_mode", 0), [scores]
    bias = np.zeros((q.shape[2], k.shape[2]))
    if call.flag("is_causal"):
        bias = np.where(_causal(*bias.shape, before), bias, -np.inf)
    if call.present(3):
        mask = call.array(3)
        mask = np.where(mask, 0.0, -np.inf) if mask.dtype == np.bool_ else mask
        if mask.shape[-1] < bias.shape[-1]:
            missing = [(0, 0)] * (mask.ndim - 1) + [(0, bias.shape[-1] - mask.shape[-1])]
            mask = np.pad(mask, missing, constant_values=-np.inf)
        bias = bias + mask
    softcap = call.number("softcap", 0.0)
    capped = softcap * np.tanh(scores / softcap) if softcap else scores
    steps += [capped, capped + bias]
    weights, y = _weighted(capped + bias, np.repeat(v, group, 1))
    steps.append(weights)
    return [_merged(y) if flat else y, k, v, steps[mode]]


def _rotated(x: Array, cos: Array, sin: Array, interleaved: bool) -> Array:
    """x (N, heads, L, D) by the angles whose cosines and sines are (N or 1, L, R/2); what is beyond R stays."""
    width = 2 * cos.shape[-1]
    turned, rest = x[..., :width], x[..., width:]
    cos, sin = cos[:, None], sin[:, None]
    first, second = (turned[..., 0::2], turned[..., 1::2]) if interleaved else np.split(turned, 2, -1)
    real, imaginary = cos * first - sin * second, sin * first + cos * second
    if interleaved:
        real, imaginary = real[..., None], imaginary[..., None]
    return np.concatenate([np.concatenate([real, imaginary], -1).reshape(turned.shape), rest], -1)


def _rotary_embedding(call: Call) -> list[Array]:
    """Inputs: x, cosines, sines, and positions that pick rows of both."""
    x, cos, sin = (call.real(n) for n in range(3))
    if call.present(3):
        cos, sin = cos[call.array(3)], sin[call.array(3)]
    part = call.integer("rotary_embedding_dim", 0)
    if part:
        cos, sin = cos[..., : part // 2], sin[..., : part // 2]
    heads = _heads(x, call.integer("num_heads", 0))
    y = _rotated(heads, cos, sin, call.flag("interleaved"))
    return [y if x.ndim == 4 else _merged(y)]


def _rotary_embedding_microsoft(call: Call) -> list[Array]:
    """Inputs: x, positions (N, L) or one offset, cosines, sines."""
    x, positions, cos, sin = call.real(0), call.array(1), call.real(2), call.real(3)
    if call.flag("is_packed_batching") or call.number("scale", 1.0) != 1:
        raise NotCovered
    length = x.shape[-2]
    if positions.size == 1:
        positions = np.broadcast_to(positions.reshape(1, 1) + np.arange(length), (x.shape[0], length))
    heads = call.integer("num_heads", 0) or (x.shape[-1] // (2 * cos.shape[-1]) if x.ndim == 3 else x.shape[1])
    y = _rotated(_heads(x, heads), cos[positions], sin[positions], call.flag("interleaved"))
    return [y if x.ndim == 4 else _merged(y)]


def _multi_head(call: Call) -> list[Array]:
    """MultiHeadAttention with separate query, key and value, a bias, and a bias on the scores; no mask and no past."""
    count = call.integer("num_heads", 0)
    if not call.present(2) or any(call.present(n) for n in (4, 6, 7, 8, 9)) or any(call.outputs[1:]):
        raise NotCovered
    q, k, v = (call.real(n) for n in range(3))
    if q.ndim != 3 or k.ndim != 3 or v.ndim != 3:
        raise NotCovered
    if call.present(3):
        width, wide = q.shape[-1], v.shape[-1]
        bias = call.real(3)
        q, k, v = q + bias[:width], k + bias[width : 2 * width], v + bias[2 * width : 2 * width + wide]
    q, k, v = (_heads(x, count) for x in (q, k, v))
    scale = call.number("scale", 0.0) or 1 / np.sqrt(q.shape[-1])
    scores = np.matmul(q, k.swapaxes(-1, -2)) * scale
    if call.present(5):
        scores = scores + call.real(5)
    if call.flag("unidirectional"):
        scores = np.where(_causal(q.shape[2], k.shape[2], 0), scores, -np.inf)
    return [_merged(_weighted(scores, v)[1])]


def _self_attention(call: Call) -> list[Array]:
    """Attention of com.microsoft: x (N, L, C), one matrix and one bias for query, key and value; no mask and no past."""
    x, weight = call.real(0), call.real(1)
    if any(call.present(n) for n in (3, 4, 6)) or any(call.outputs[1:]) or call.flag("do_rotary"):
        raise NotCovered
    projected = np.matmul(x, weight) + (call.real(2) if call.present(2) else 0.0)
    sizes = call.integers("qkv_hidden_sizes") or [weight.shape[1] // 3] * 3
    count = call.integer("num_heads", 1)
    q, k, v = (_heads(part, count) for part in np.split(projected, np.cumsum(sizes)[:2], -1))
    scores = np.matmul(q, k.swapaxes(-1, -2)) * (call.number("scale", 0.0) or 1 / np.sqrt(q.shape[-1]))
    if call.present(5):
        scores = scores + call.real(5)
    if call.flag("unidirectional"):
        scores = np.where(_causal(q.shape[2], k.shape[2], 0), scores, -np.inf)
    return [_merged(_weighted(scores, v)[1])]


KERNELS: dict[str, Kernel] = {"Attention": _attention, "RotaryEmbedding": _rotary_embedding}
"""By operator of the standard domain."""

MICROSOFT: dict[str, Kernel] = {
    "Attention": _self_attention,
    "MultiHeadAttention": _multi_head,
    "RotaryEmbedding": _rotary_embedding_microsoft,
}
"""By operator of the domain com.microsoft."""
