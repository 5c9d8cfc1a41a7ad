"""Normalisations by statistics, norms or neighbours."""

from math import prod

import numpy as np

from .call import Array, Call, Kernel, NotCovered

_MVN_EPSILON = 1e-9
"""Of the function body in the standard; it is added to the deviation."""


def _per_channel(values: Array, x: Array) -> Array:
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def _batch_normalisation(call: Call) -> list[Array]:
    """In training mode (opset 14 on) by the statistics of the batch; the running ones are mixed with these."""
    x, scale, bias, mean, var = (call.real(n) for n in range(5))
    if call.opset < 9 and not call.integer("spatial", 1):
        raise NotCovered
    rest: list[Array] = []
    if call.flag("training_mode"):
        axes = tuple(a for a in range(x.ndim) if a != 1)
        momentum = call.number("momentum", 0.9)
        batch_mean, batch_var = x.mean(axes), x.var(axes)
        rest = [mean * momentum + batch_mean * (1 - momentum), var * momentum + batch_var * (1 - momentum)]
        mean, var = batch_mean, batch_var
    elif len(call.outputs) > 1:
        raise NotCovered
    factor = scale / np.sqrt(var + call.number("epsilon", 1e-5))
    return [(x - _per_channel(mean, x)) * _per_channel(factor, x) + _per_channel(bias, x), *rest]


def _standardised(x: Array, axes: tuple[int, ...], epsilon: float) -> Array:
    return np.asarray((x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon))


def _instance_normalisation(call: Call) -> list[Array]:
    x = call.real(0)
    y = _standardised(x, tuple(range(2, x.ndim)), call.number("epsilon", 1e-5))
    return [y * _per_channel(call.real(1), x) + _per_channel(call.real(2), x)]


def _group_normalisation(call: Call) -> list[Array]:
    """Scale and bias have an entry for each group up to opset 20, for each channel from 21 on."""
    x, groups = call.real(0), call.integer("num_groups", 1)
    parts = x.reshape(x.shape[0], groups, -1)
    y = _standardised(parts, (2,), call.number("epsilon", 1e-5)).reshape(x.shape)
    repeats = x.shape[1] // groups if call.opset < 21 else 1
    scale, bias = (np.repeat(call.real(n), repeats) for n in (1, 2))
    return [y * _per_channel(scale, x) + _per_channel(bias, x)]


def _layer_normalisation(call: Call) -> list[Array]:
    """Over the axes from ``axis`` on; also returns the mean and the inverse of the deviation."""
    x = call.real(0)
    axes = tuple(range(call.integer("axis", -1) % x.ndim, x.ndim))
    mean = x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(x.var(axes, keepdims=True) + call.number("epsilon", 1e-5))
    y = (x - mean) * inverse * call.real(1)
    return [y + call.real(2) if call.present(2) else y, mean, inverse]


def _rms_normalisation(call: Call) -> list[Array]:
    x = call.real(0)
    axes = tuple(range(call.integer("axis", -1) % x.ndim, x.ndim))
    inverse = 1 / np.sqrt((x * x).mean(axes, keepdims=True) + call.number("epsilon", 1e-5))
    return [x * inverse * call.real(1), inverse]


def _skip_layer_normalisation(call: Call) -> list[Array]:
    """LayerNormalization of input + skip + bias; the sum is the last output. Inputs: input, skip, gamma, beta, bias."""
    total = call.real(0) + call.real(1)
    if call.present(4):
        total = total + call.real(4)
    mean = total.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt(total.var(-1, keepdims=True) + call.number("epsilon", 1e-12))
    y = (total - mean) * inverse * call.real(2)
    return [y + call.real(3) if call.present(3) else y, mean, inverse, total]


def _skip_rms_normalisation(call: Call) -> list[Array]:
    """The same by the root mean square. Inputs: input, skip, gamma, bias."""
    total = call.real(0) + call.real(1)
    if call.present(3):
        total = total + call.real(3)
    inverse = 1 / np.sqrt((total * total).mean(-1, keepdims=True) + call.number("epsilon", 1e-12))
    return [total * inverse * call.real(2), np.zeros_like(inverse), inverse, total]


def _embed_layer_normalisation(call: Call) -> list[Array]:
    """Embeddings of words, positions and segments, summed and normalised; the second output counts the places of a mask."""
    words, segments = call.array(0), call.optional(1)
    positions = call.array(8) if call.present(8) else np.arange(words.shape[1])[None]
    total = call.real(2)[words] + call.real(3)[positions]
    if segments is not None and call.present(4):
        total = total + call.real(4)[segments]
    counts = call.array(7).sum(1) if call.present(7) else np.zeros(len(words))
    y = _standardised(total, (-1,), call.number("epsilon", 1e-12)) * call.real(5) + call.real(6)
    return [y, counts.astype(np.int32), total]


def _lp_normalisation(call: Call) -> list[Array]:
    """x / ||x||_p along an axis; zero if the norm is zero."""
    x, axis, p = call.real(0), call.integer("axis", -1), call.integer("p", 2)
    norm = (np.abs(x) ** p).sum(axis, keepdims=True) ** (1 / p)
    return [np.divide(x, norm, out=np.zeros_like(x), where=norm != 0)]


def _mean_variance_normalisation(call: Call) -> list[Array]:
    x = call.real(0)
    axes = tuple(call.integers("axes") or (0, 2, 3))
    centred = x - x.mean(axes, keepdims=True)
    return [centred / (x.std(axes, keepdims=True) + _MVN_EPSILON)]


def _lrn(call: Call) -> list[Array]:
    """Divides by the squares of ``size`` neighbouring channels; the window reaches one further up if ``size`` is even."""
    x, size = call.real(0), call.integer("size", 1)
    channels = x.shape[1]
    below, above = (size - 1) // 2, size - 1 - (size - 1) // 2
    squares = np.cumsum(x * x, 1)
    ends = np.minimum(np.arange(channels) + above, channels - 1)
    starts = np.arange(channels) - below
    earlier = np.where(_per_channel(starts, x) > 0, squares[:, np.maximum(starts - 1, 0)], 0.0)
    total = squares[:, ends] - earlier
    alpha, beta, bias = call.number("alpha", 1e-4), call.number("beta", 0.75), call.number("bias", 1.0)
    return [x / (bias + alpha / size * total) ** beta]


def _group_norm(call: Call) -> list[Array]:
    """GroupNorm of the domain com.microsoft: channels last, with an optional SiLU."""
    x, groups = call.real(0), call.integer("groups", 1)
    if not call.flag("channels_last", 1):
        raise NotCovered
    n, channels = x.shape[0], x.shape[-1]
    parts = x.reshape(n, prod(x.shape[1:-1]), groups, channels // groups)
    y = _standardised(parts, (1, 3), call.number("epsilon", 1e-5)).reshape(x.shape) * call.real(1) + call.real(2)
    return [y / (1 + np.exp(-y)) if call.flag("activation") else y]


KERNELS: dict[str, Kernel] = {
    "BatchNormalization": _batch_normalisation,
    "GroupNormalization": _group_normalisation,
    "InstanceNormalization": _instance_normalisation,
    "LRN": _lrn,
    "LayerNormalization": _layer_normalisation,
    "LpNormalization": _lp_normalisation,
    "MeanVarianceNormalization": _mean_variance_normalisation,
    "RMSNormalization": _rms_normalisation,
    "SimplifiedLayerNormalization": _rms_normalisation,
}
"""By operator of the standard domain."""

MICROSOFT: dict[str, Kernel] = {
    "EmbedLayerNormalization": _embed_layer_normalisation,
    "GroupNorm": _group_norm,
    "SkipLayerNormalization": _skip_layer_normalisation,
    "SkipSimplifiedLayerNormalization": _skip_rms_normalisation,
}
"""By operator of the domain com.microsoft."""
