"""Pools in one to three dimensions: paddings, ceil modes, dilations, strides, and what an average counts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from attnexport.benchmarks.reference_sweep.case import LAST, Case, across, newest
from attnexport.benchmarks.reference_sweep.draws import Draw, f32, i64

_SHAPES = {1: (2, 3, 11), 2: (1, 2, 9, 8), 3: (1, 2, 6, 7, 5)}
_NO_KERNEL = 22
"""ONNX Runtime 1.31 has no kernel for GlobalLpPool, MaxRoiPool and RoiAlign of this opset."""
_AUTO = ("SAME_UPPER", "SAME_LOWER", "VALID")


def cases() -> Iterator[Case]:
    """All pools."""
    yield from _pools("MaxPool", ({}, {"storage_order": 0}))
    yield from _pools("AveragePool", ({}, {"count_include_pad": 1}))
    yield from _pools("LpPool", ({}, {"p": 1}, {"p": 3}))
    yield from _max_pool_further()
    yield from _global()
    yield from _unpool()
    yield from _regions()


def _geometries(rank: int) -> Iterator[dict[str, Any]]:
    kernel = [3, 2, 3][:rank]
    yield {"kernel_shape": kernel}
    yield {"kernel_shape": kernel, "strides": [2, 3, 2][:rank], "pads": [1] * 2 * rank}
    yield {"kernel_shape": kernel, "strides": [2] * rank, "pads": [1, 0, 1][:rank] + [0, 1, 1][:rank]}
    for ceil in (0, 1):
        yield {"kernel_shape": kernel, "strides": [3, 2, 2][:rank], "ceil_mode": ceil}
        yield {"kernel_shape": kernel, "strides": [3] * rank, "pads": [1] * 2 * rank, "ceil_mode": ceil}
    yield {"kernel_shape": [2] * rank, "strides": [3] * rank, "pads": [1] * 2 * rank, "ceil_mode": 1}
    yield {"kernel_shape": [2] * rank, "dilations": [2, 3, 1][:rank]}
    yield {
        "kernel_shape": [2] * rank,
        "dilations": [2] * rank,
        "strides": [2] * rank,
        "pads": [1] * 2 * rank,
        "ceil_mode": 1,
    }
    for auto, strides in product(_AUTO, (1, 2)):
        yield {"kernel_shape": kernel, "auto_pad": auto, "strides": [strides] * rank}
    yield {"kernel_shape": [2] * rank, "auto_pad": "SAME_UPPER", "dilations": [2] * rank, "strides": [2] * rank}
    yield {"kernel_shape": kernel, "auto_pad": "VALID", "strides": [3] * rank, "ceil_mode": 1}
    yield {"kernel_shape": kernel, "auto_pad": "VALID", "strides": [2] * rank, "ceil_mode": 1}


def _pools(operator: str, variants: tuple[dict[str, Any], ...]) -> Iterator[Case]:
    for rank, variant in product(_SHAPES, variants):
        for n, geometry in enumerate(_geometries(rank)):
            attributes = {**geometry, **variant}
            every_version = rank == 2 and n in (1, 2, 5, 8, 9, 11)
            yield from (across if every_version else newest)(operator, [f32(*_SHAPES[rank])], attributes)


def _max_pool_further() -> Iterator[Case]:
    for rank in _SHAPES:
        for order in (0, 1):
            attributes = {"kernel_shape": [2] * rank, "strides": [2] * rank, "storage_order": order}
            yield from across("MaxPool", [f32(*_SHAPES[rank])], attributes, outputs=("y0", "y1"))
            padded = {**attributes, "pads": [1] * 2 * rank, "kernel_shape": [3] * rank, "dilations": [2] * rank}
            yield from newest("MaxPool", [f32(*_SHAPES[rank])], padded, outputs=("y0", "y1"))
    for kind in ("ties", "edges"):
        yield from newest("MaxPool", [f32(1, 2, 6, 6, kind=kind)], {"kernel_shape": [2, 2]}, outputs=("y0", "y1"))
    for dtype in ("int8", "uint8"):
        yield from across(
            "MaxPool", [Draw((1, 2, 7, 6), "naturals", dtype)], {"kernel_shape": [3, 3], "pads": [1] * 4}, (12, 23)
        )


def _global() -> Iterator[Case]:
    for operator, shape in product(("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"), _SHAPES.values()):
        yield from across(operator, [f32(*shape)], opsets=(7, _NO_KERNEL - 1 if operator == "GlobalLpPool" else LAST))
    for p in (1, 3):
        yield from across("GlobalLpPool", [f32(2, 3, 4, 5)], {"p": p}, (7, _NO_KERNEL - 1))


def _unpool() -> Iterator[Case]:
    for rank in (1, 2, 3):
        size = (4, 6, 4)[:rank]
        rng = np.random.default_rng(rank)
        window = rng.integers(0, 2, (1, 2, *(s // 2 for s in size)))
        indices = np.zeros_like(window)
        for place in np.ndindex(*window.shape):
            corner = tuple(2 * p + int(window[place]) for p in place[2:])
            indices[place] = np.ravel_multi_index((place[0], place[1], *corner), (1, 2, *size))
        yield from across(
            "MaxUnpool", [f32(*window.shape), indices], {"kernel_shape": [2] * rank, "strides": [2] * rank}
        )
    flat = np.asarray([[[[0, 3], [8, 11]]]], np.int64)
    yield from across(
        "MaxUnpool", [f32(1, 1, 2, 2), flat, i64(1, 1, 4, 4)], {"kernel_shape": [2, 2], "strides": [2, 2]}
    )
    yield from across(
        "MaxUnpool", [f32(1, 1, 2, 2), flat, i64(1, 1, 5, 5)], {"kernel_shape": [2, 2], "strides": [2, 2]}
    )


def _regions() -> Iterator[Case]:
    image = f32(2, 3, 12, 10)
    rois = np.asarray([[0.5, 1, 6, 7.5], [0, 0, 9, 9], [3, 2, 3.4, 2.3], [-2, -3, 4, 5], [7, 6, 14, 13]], np.float32)
    batches = i64(0, 1, 0, 1, 1)
    for mode, ratio, scale in product(("avg", "max"), (0, 2, 3), (1.0, 0.5)):
        attributes = {
            "mode": mode,
            "sampling_ratio": ratio,
            "spatial_scale": scale,
            "output_height": 3,
            "output_width": 2,
        }
        yield from across("RoiAlign", [image, rois, batches], attributes, (10, _NO_KERNEL - 1))
    for transformation in ("half_pixel", "output_half_pixel"):
        attributes = {"coordinate_transformation_mode": transformation, "output_height": 2, "output_width": 3}
        yield from across("RoiAlign", [image, rois, batches], attributes, (10, _NO_KERNEL - 1))
    boxes = np.asarray([[0, 1, 1, 6, 7], [1, 0, 0, 9, 9], [0, 3, 2, 3, 2], [1, 2, 4, 9, 11]], np.float32)
    for scale in (1.0, 0.5):
        yield from across(
            "MaxRoiPool", [image, boxes], {"pooled_shape": [3, 2], "spatial_scale": scale}, (7, _NO_KERNEL - 1)
        )
