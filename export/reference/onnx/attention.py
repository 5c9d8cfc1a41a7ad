"""Attention and rotary embeddings of the standard (opset 23)."""

import numpy as np
import torch

from .call import Array, Call, Kernel, NotCovered, as_array, as_torch


def heads(x: Array, count: int) -> Array:
    """(N, L, heads * D) -> (N, heads, L, D); four axes stay as they are."""
    if x.ndim == 4:
        return x
    n, length, width = x.shape
    return np.swapaxes(x.reshape(n, length, count, width // count), 1, 2)


def merged(x: Array) -> Array:
    """(N, heads, L, D) -> (N, L, heads * D)."""
    n, count, length, width = x.shape
    return np.reshape(np.swapaxes(x, 1, 2), (n, length, count * width))


def joined(past: Array | None, x: Array) -> Array:
    """(N, heads, P, D) and (N, heads, L, D) -> (N, heads, P + L, D)."""
    return x if past is None or not past.size else np.concatenate([past, x], 2)


def weighted(scores: Array, values: Array) -> tuple[Array, Array]:
    """The softmax of the scores, zero in a row without any place, and the values that it weighs."""
    weights = as_array(torch.softmax(as_torch(scores), -1))
    weights = np.where(np.isfinite(scores).any(-1, keepdims=True), weights, 0.0)
    return weights, np.matmul(weights, values)


def causal(rows: int, columns: int, first: int) -> Array:
    """True where a row may look: row i sees the columns up to ``first + i``."""
    return np.arange(columns)[None] <= np.arange(rows)[:, None] + first


def _attention(call: Call) -> list[Array]:
    """softmax(softcap(scale Q K') + mask) V, with grouped heads, a past, and the scores of one step as an output."""
    q, k, v = (call.real(n) for n in range(3))
    flat = q.ndim == 3
    q = heads(q, call.integer("q_num_heads", 0))
    k, v = (heads(x, call.integer("kv_num_heads", 0)) for x in (k, v))
    past = [call.real(n) if call.present(n) else None for n in (4, 5)]
    k, v = joined(past[0], k), joined(past[1], v)
    before = 0 if past[0] is None else past[0].shape[2]
    if call.present(6):
        raise NotCovered
    group = q.shape[1] // k.shape[1]
    scale = call.number("scale", 0.0) or 1 / np.sqrt(q.shape[-1])
    scores = np.matmul(q, np.repeat(k, group, 1).swapaxes(-1, -2)) * scale
    mode, steps = call.integer("qk_matmul_output_mode", 0), [scores]
    bias = np.zeros((q.shape[2], k.shape[2]))
    if call.flag("is_causal"):
        bias = np.where(causal(*bias.shape, before), bias, -np.inf)
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
    weights, y = weighted(capped + bias, np.repeat(v, group, 1))
    steps.append(weights)
    return [merged(y) if flat else y, k, v, steps[mode]]


def rotated(x: Array, cos: Array, sin: Array, interleaved: bool) -> Array:
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
    y = rotated(heads(x, call.integer("num_heads", 0)), cos, sin, call.flag("interleaved"))
    return [y if x.ndim == 4 else merged(y)]


KERNELS: dict[str, Kernel] = {"Attention": _attention, "RotaryEmbedding": _rotary_embedding}
"""By operator of the standard domain."""
