"""The formulas in NumPy FP64, tap by tap. Nothing of the exporter is used here.

Channel-first throughout: images (N, C, *S); queries (N, H, D, *Q), keys (N, H, D, *S), values (N, H, M, *S), scores and weights
(N, H, K, *Q).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from .geometry import Geometry

Array = np.ndarray

_COMPOSE: dict[str, Callable[[Array, Array], Array]] = {
    "product": lambda query, key: query * key,
    "squared": lambda query, key: (query - key) ** 2,
    "absolute": lambda query, key: np.abs(query - key),
}


def padded(x: Array, geometry: Geometry) -> Array:
    """``x`` with its last axes padded as the geometry says."""
    widths = [(0, 0)] * (x.ndim - geometry.rank) + [(pad, pad) for pad in geometry.pads]
    return np.pad(x, widths, mode="edge" if geometry.edge else "constant")


def taps(geometry: Geometry) -> Iterator[tuple[slice, ...]]:
    """For each tap, row-major: what every window sees there, as slices of the padded axes."""
    for tap in itertools.product(*map(range, geometry.kernel)):
        axes = zip(tap, geometry.dilation, geometry.counts, geometry.stride, strict=True)
        yield tuple(slice(t * d, t * d + (count - 1) * step + 1, step) for t, d, count, step in axes)


def correlate(
    query: Array, key: Array, geometry: Geometry, compose: str = "product", relative: Array | None = None
) -> Array:
    """scores[n, h, t, p] = sum over d of compose(query[n, h, d, p], key at tap t of window p + relative[h, d, t])."""
    wide = padded(key, geometry)
    scores = []
    for t, place in enumerate(taps(geometry)):
        seen = wide[(..., *place)]
        if relative is not None:
            seen = seen + relative[:, :, t].reshape(1, *relative.shape[:2], *[1] * geometry.rank)
        scores.append(_COMPOSE[compose](query, seen).sum(2))
    return np.stack(scores, 2)


def softmax(scores: Array, axis: int = 2) -> Array:
    """Over the window, by default."""
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def aggregate(weights: Array, value: Array, geometry: Geometry) -> Array:
    """y[n, h, m, p] = sum over t of weights[n, h, t, p] * value[n, h, m] at tap t of window p."""
    wide = padded(value, geometry)
    total = np.zeros(())
    for t, place in enumerate(taps(geometry)):
        total = total + weights[:, :, t, None] * wide[(..., *place)]
    return total


def inside(geometry: Geometry) -> Array:
    """(K, *Q): whether tap t of window p lies in the image."""
    blank = Geometry(geometry.sizes, geometry.kernel, geometry.dilation, geometry.stride, geometry.pads)
    wide = padded(np.ones(geometry.sizes), blank)
    return np.stack([wide[place] for place in taps(geometry)]) == 1.0


def fold(columns: Array, geometry: Geometry) -> Array:
    """Overlap-add: columns (..., K, *Q) back to (..., *S), what falls outside is dropped."""
    lead = columns.shape[: columns.ndim - geometry.rank - 1]
    total = np.zeros((*lead, *(s + 2 * p for s, p in zip(geometry.sizes, geometry.pads, strict=True))))
    for t, place in enumerate(taps(geometry)):
        total[(..., *place)] += columns[(..., t, *[slice(None)] * geometry.rank)]
    return total[(..., *(slice(p, p + s) for s, p in zip(geometry.sizes, geometry.pads, strict=True)))]


def pointwise(x: Array, weight: Array, bias: Array | None) -> Array:
    """A 1x1 convolution: x (N, C, *S), weight (O, C, ...)."""
    y = np.einsum("oc,nc...->no...", weight.reshape(weight.shape[:2]), x)
    return y if bias is None else y + bias.reshape(1, -1, *[1] * (x.ndim - 2))
