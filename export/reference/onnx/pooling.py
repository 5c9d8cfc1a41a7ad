"""Pools with any number of spatial axes, and what undoes the largest."""

import numpy as np

from .call import Array, Call, Kernel
from .windows import Windows, windows


def _form(call: Call) -> Windows:
    x = call.real(0)
    return windows(call, list(x.shape[2:]), call.integers("kernel_shape") or [])


def _max_pool(call: Call) -> list[Array]:
    """Padding never wins. Indices count through the whole input, row by row or (storage_order) column by column."""
    x, form = call.real(0), _form(call)
    best = np.full((*x.shape[:2], *form.out), -np.inf)
    where = np.full(best.shape, -1)
    tracked = len(call.outputs) > 1 and call.outputs[1]
    places: Array | None = np.arange(int(np.prod(form.sizes))) if tracked else None
    if places is not None:
        places = places.reshape(form.sizes[::-1]).T if call.flag("storage_order") else places.reshape(form.sizes)
    index = None if places is None else form.padded(places[None, None].astype(np.float64), -1.0)
    tap_places = None if index is None else form.taps(index)
    for _, view in form.taps(form.padded(x, -np.inf)):
        if tap_places is not None:
            flat = next(tap_places)[1].astype(np.int64)
            better = ((view > best) | np.isnan(view) | (where < 0)) & (flat >= 0)
            where = np.where(better, flat, where)
        np.maximum(best, view, out=best)
    if not tracked:
        return [best]
    first = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * len(form.out))
    return [best, where + first * int(np.prod(form.sizes))]


def _average_pool(call: Call) -> list[Array]:
    """Counts what lies in the image; with count_include_pad the padding too, but nothing beyond it."""
    x, form = call.real(0), _form(call)
    total = np.zeros((*x.shape[:2], *form.out))
    for _, view in form.taps(form.padded(x, 0.0)):
        total += view
    return [total / _counts(form, call.flag("count_include_pad"))]


def _counts(form: Windows, with_padding: bool) -> Array:
    heads = form.heads if with_padding else [0] * len(form.sizes)
    tails = form.tails if with_padding else [0] * len(form.sizes)
    counts = np.ones(())
    for axis, size in enumerate(form.sizes):
        starts = np.arange(form.out[axis]) * form.strides[axis] - form.heads[axis]
        taps = starts[:, None] + np.arange(form.kernel[axis]) * form.dilations[axis]
        inside = ((taps >= -heads[axis]) & (taps < size + tails[axis])).sum(1)
        counts = np.multiply.outer(counts, inside)
    return counts


def _lp_pool(call: Call) -> list[Array]:
    x, form, p = call.real(0), _form(call), call.integer("p", 2)
    total = np.zeros((*x.shape[:2], *form.out))
    for _, view in form.taps(form.padded(np.abs(x) ** p, 0.0)):
        total += view
    return [total ** (1 / p)]


def _spatial(x: Array) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def _global_average(call: Call) -> list[Array]:
    x = call.real(0)
    return [x.mean(_spatial(x), keepdims=True)]


def _global_max(call: Call) -> list[Array]:
    x = call.real(0)
    return [x.max(_spatial(x), keepdims=True)]


def _global_lp(call: Call) -> list[Array]:
    x, p = call.real(0), call.integer("p", 2)
    return [(np.abs(x) ** p).sum(_spatial(x), keepdims=True) ** (1 / p)]


def _max_unpool(call: Call) -> list[Array]:
    """Values go to the places that the indices name in the tensor that the pool read; a larger output has zeros behind it."""
    x, indices = call.real(0), call.array(1)
    kernel = call.integers("kernel_shape") or []
    rank = len(kernel)
    strides, pads = call.integers("strides") or [1] * rank, call.integers("pads") or [0] * (2 * rank)
    sizes = [(x.shape[2 + a] - 1) * strides[a] + kernel[a] - pads[a] - pads[rank + a] for a in range(rank)]
    inner = np.zeros((*x.shape[:2], *sizes))
    inner.reshape(-1)[indices.reshape(-1)] = x.reshape(-1)
    shape = call.ints(2)
    if shape is None:
        return [inner]
    result = np.zeros(shape)
    common = tuple(slice(0, min(a, b)) for a, b in zip(shape, inner.shape, strict=True))
    result[common] = inner[common]
    return [result]


KERNELS: dict[str, Kernel] = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "GlobalLpPool": _global_lp,
    "GlobalMaxPool": _global_max,
    "LpPool": _lp_pool,
    "MaxPool": _max_pool,
    "MaxUnpool": _max_unpool,
}
"""By operator of the standard domain."""
