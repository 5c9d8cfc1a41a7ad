"""What GridSample and GridSample3d share: the schema, and the arithmetic in NumPy, in any float dtype.

Per axis, a position in [-1, 1] becomes a pixel coordinate, the padding rule maps it, and the mode gives the integer
taps around it with their weights; a sample is the sum over the product of the axes' taps. Source:
ATen/native/GridSampler.h.

A coordinate that is not finite acts as in ATen's CPU kernels, which differ by rank (measured, torch 2.13):

    images  : a weight made of it is NaN (bicubic; bilinear under zeros); nearest under zeros gives 0; a clip takes NaN,
              and a reflection infinity too, to pixel 0
    volumes : zeros gives 0; a clip takes NaN, and a reflection infinity too, to the last pixel

Reflected positions beyond about 1e9, where ATen's own integers overflow, are not specified.
"""

from itertools import product

import numpy as np
from onnx.defs import OpSchema

from .operator import FLOATS, Array, Attributes, Context, Dim, input_dims, schema

_CUBIC = -0.75


def _infer(context: Context) -> list[Dim] | None:
    dims, grid = input_dims(context, 0), input_dims(context, 1)
    return None if dims is None or grid is None else [*dims[:2], *grid[1:-1]]


def sampling_schema(name: str, doc: str) -> OpSchema:
    """The schema of operator ``name``: the output has the batch and channels of x and the space of the grid."""
    rules = Attributes(ints=["align_corners"], strings=["mode", "padding_mode"])
    return schema(
        name, doc, inputs=[("x", "T"), ("grid", "T")], output="y", types=FLOATS, infer=_infer, attributes=rules
    )


def _pixels(position: Array, size: int, align_corners: int) -> Array:
    return (position + 1) / 2 * (size - 1) if align_corners else ((position + 1) * size - 1) / 2


def _clip(pixel: Array, size: int, planar: bool) -> Array:
    if planar:
        return np.where(pixel > 0, np.minimum(pixel, size - 1), 0)
    return np.where(pixel < size - 1, np.maximum(pixel, 0), size - 1)


def _reflect(pixel: Array, size: int, align_corners: int) -> Array:
    low, span = (0.0, size - 1) if align_corners else (-0.5, size)
    if span == 0:
        return np.zeros_like(pixel)
    distance = np.abs(pixel - low)
    flips, rest = np.floor(distance / span), np.fmod(distance, span)
    return np.where(flips % 2 == 0, rest + low, span - rest + low)


def _pad(pixel: Array, size: int, padding_mode: str, align_corners: int, planar: bool) -> Array:
    if padding_mode == "zeros":
        return pixel if planar else np.where(np.isfinite(pixel), pixel, -2)
    if padding_mode == "reflection":
        pixel = _reflect(pixel, size, align_corners)
    return _clip(pixel, size, planar)


def _cubic_weights(t: Array) -> list[Array]:
    def near(d: Array) -> Array:
        return ((_CUBIC + 2) * d - (_CUBIC + 3)) * d * d + 1

    def far(d: Array) -> Array:
        return ((_CUBIC * d - 5 * _CUBIC) * d + 8 * _CUBIC) * d - 4 * _CUBIC

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _taps(
    pixel: Array, size: int, mode: str, padding_mode: str, align_corners: int, planar: bool
) -> list[tuple[Array, Array]]:
    if mode == "bicubic":
        base = np.floor(pixel)
        taps = [
            (_pad(base + offset, size, padding_mode, align_corners, planar), weight)
            for offset, weight in zip((-1, 0, 1, 2), _cubic_weights(pixel - base), strict=True)
        ]
    else:
        pixel = _pad(pixel, size, padding_mode, align_corners, planar)
        base = np.round(pixel) if mode == "nearest" else np.floor(pixel)
        part = pixel - base
        taps = [(base, np.ones_like(base))] if mode == "nearest" else [(base, 1 - part), (base + 1, part)]
    inside = [(tap >= 0) & (tap <= size - 1) for tap, _ in taps]
    return [
        (np.where(valid, tap, 0).astype(np.int64), weight * valid)
        for (tap, weight), valid in zip(taps, inside, strict=True)
    ]


def sample(x: Array, grid: Array, *, mode: str, padding_mode: str, align_corners: int) -> Array:
    """x (N, C, *space) at grid (N, *out, axes), x-coordinate first -> (N, C, *out), in the dtype of x."""
    space, out = x.shape[2:], grid.shape[1:-1]
    batch, channels = x.shape[:2]
    with np.errstate(invalid="ignore"):
        taps = []
        for axis, size in enumerate(space):
            pixel = _pixels(grid[..., len(space) - 1 - axis], size, align_corners)
            taps.append(_taps(pixel, size, mode, padding_mode, align_corners, len(space) == 2))
        y = np.zeros((batch, channels, *out), x.dtype)
        for corner in product(*taps):
            for n in range(batch):
                weight = np.ones(out, x.dtype)
                for _, factor in corner:
                    weight = weight * factor[n]
                place = (slice(None), *(index[n] for index, _ in corner))
                y[n] += x[n][place] * weight
    return y
