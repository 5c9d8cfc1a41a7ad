"""Resampling: Resize and Upsample over coordinate modes, nearest modes and scales; GridSample, AffineGrid."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from attnexport.benchmarks.reference_sweep.case import LAST, Case, Input, across, newest, versions
from attnexport.benchmarks.reference_sweep.draws import Draw, f32, i64

_COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
_NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
_MODES = ("nearest", "linear", "cubic")
_SCALES = (0.6, 1.7, 2.0, 0.5, 1 / 3, 3.0)


def cases() -> Iterator[Case]:
    """All resampling."""
    yield from _resize_nearest()
    yield from _resize_smooth()
    yield from _resize_further()
    yield from _resize_ranks()
    yield from _resize_tf_crop()
    yield from _resize_10()
    yield from _upsample()
    yield from _grid_sample()
    yield from _affine_grid()


def _resize(
    inputs: tuple[Input, Input, Input], attributes: dict[str, Any], low: int = LAST, sizes: bool = False
) -> Iterator[Case]:
    """Image, region and scales (or sizes) as initializers; opset 11 writes what is absent as empty."""
    image, region, amounts = inputs
    empty = _scales()
    if low == 11:
        old: list[Input] = [image, empty if region is None else region, *((empty, amounts) if sizes else (amounts,))]
        yield from across("Resize", old, attributes, (11, 11), constants=tuple(range(1, len(old))))
    new: list[Input] = [image, region, *((None, amounts) if sizes else (amounts,))]
    constants = tuple(i for i in range(1, len(new)) if new[i] is not None)
    opsets = (max(low, 13), LAST) if low < LAST else (versions("Resize")[-1],) * 2
    yield from across("Resize", new, attributes, opsets, constants=constants)


def _scales(*values: float) -> np.ndarray:
    return np.asarray(values, np.float32)


def _resize_nearest() -> Iterator[Case]:
    for coordinates, nearest, scale in product(_COORDINATES, _NEAREST, _SCALES):
        attributes = {"mode": "nearest", "coordinate_transformation_mode": coordinates, "nearest_mode": nearest}
        every_version = (
            coordinates != "half_pixel_symmetric" and scale in (0.6, 1.7) and nearest in ("floor", "round_prefer_floor")
        )
        yield from _resize(
            (f32(1, 2, 10, 7), None, _scales(1, 1, scale, scale)), attributes, 11 if every_version else LAST
        )
    for coordinates, size in product(_COORDINATES, ((1, 2, 6, 11), (1, 2, 20, 3), (1, 2, 1, 1))):
        attributes = {"mode": "nearest", "coordinate_transformation_mode": coordinates}
        low = 11 if coordinates == "align_corners" else LAST
        yield from _resize((f32(1, 2, 10, 7), None, i64(*size)), attributes, low, sizes=True)


def _resize_smooth() -> Iterator[Case]:
    for mode, coordinates, scale in product(("linear", "cubic"), _COORDINATES, _SCALES):
        attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
        every_version = coordinates != "half_pixel_symmetric" and scale in (0.6, 2.0)
        yield from _resize(
            (f32(1, 2, 10, 7), None, _scales(1, 1, scale, scale)), attributes, 11 if every_version else LAST
        )
    for mode, coordinates, size in product(
        ("linear", "cubic"), _COORDINATES, ((1, 2, 6, 11), (1, 2, 20, 3), (1, 2, 1, 1))
    ):
        attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
        low = 11 if coordinates == "align_corners" else LAST
        yield from _resize((f32(1, 2, 10, 7), None, i64(*size)), attributes, low, sizes=True)


def _resize_further() -> Iterator[Case]:
    image = f32(1, 2, 10, 7)
    for a, exclude, scale in product((-0.5, -0.75), (0, 1), (0.6, 1.7)):
        attributes = {"mode": "cubic", "cubic_coeff_a": a, "exclude_outside": exclude}
        yield from _resize((image, None, _scales(1, 1, scale, scale)), attributes, 11)
    for mode, scale, exclude in product(("linear", "cubic"), (0.6, 0.3, 1.7), (0, 1)):
        attributes = {"mode": mode, "antialias": 1, "exclude_outside": exclude}
        yield from _resize((image, None, _scales(1, 1, scale, scale)), attributes, 18)
        turned = {**attributes, "coordinate_transformation_mode": "align_corners"}
        yield from _resize((image, None, i64(1, 2, 4, 3)), turned, sizes=True)
    for mode, axes, policy in product(
        _MODES, ([2, 3], [3, 2], [-1], [-2, -1]), ("stretch", "not_larger", "not_smaller")
    ):
        attributes = {"mode": mode, "axes": axes, "keep_aspect_ratio_policy": policy}
        yield from _resize((image, None, i64(*[6, 11][: len(axes)])), attributes, 18, sizes=True)


def _resize_ranks() -> Iterator[Case]:
    image = f32(1, 2, 10, 7)
    for mode in _MODES:
        yield from across("Resize", [image, None, _scales(0.6, 1.7)], {"mode": mode, "axes": [2, 3]}, (18, 23))
        yield from _resize((f32(6, 5), None, _scales(1.7, 0.6)), {"mode": mode})
        if mode != "cubic":
            yield from _resize((f32(2, 3, 11), None, _scales(1, 1, 1.7)), {"mode": mode}, 11)
            yield from _resize((f32(7), None, _scales(0.6)), {"mode": mode}, 11)
            yield from _resize((f32(1, 1, 4, 5, 3), None, _scales(1, 1, 1.7, 0.6, 2)), {"mode": mode})
            yield from _resize((f32(4, 6, 5, 3), None, _scales(1, 1.7, 0.6, 1)), {"mode": mode})
    for dtype, mode in product(("uint8", "int8", "int32"), ("nearest", "linear")):
        yield from _resize((Draw((1, 2, 5, 4), "naturals", dtype), None, _scales(1, 1, 2, 2)), {"mode": mode})


def _resize_tf_crop() -> Iterator[Case]:
    roi = np.asarray([0, 0, 0.1, -0.2, 1, 1, 0.8, 1.3], np.float32)
    for mode, value in product(_MODES, (0.0, 1.5)):
        attributes: dict[str, Any] = {"mode": mode, "extrapolation_value": value}
        attributes["coordinate_transformation_mode"] = "tf_crop_and_resize"
        yield from _resize((f32(1, 2, 10, 7), roi, i64(1, 2, 5, 9)), attributes, 11, sizes=True)
        yield from _resize((f32(1, 2, 10, 7), roi, _scales(1, 1, 0.6, 1.7)), attributes, 11)


def _resize_10() -> Iterator[Case]:
    for mode, scale in product(("nearest", "linear"), _SCALES):
        yield from across(
            "Resize", [f32(1, 2, 10, 7), _scales(1, 1, scale, scale)], {"mode": mode}, (10, 10), constants=(1,)
        )
        yield from across("Resize", [f32(1, 2, 10, 7), _scales(1, 1, scale, scale)], {"mode": mode}, (10, 10))


def _upsample() -> Iterator[Case]:
    for mode, scale in product(("nearest", "linear"), (1.7, 2.0, 3.0, 1.3)):
        yield from across("Upsample", [f32(1, 2, 5, 7)], {"mode": mode, "scales": [1.0, 1.0, scale, scale]}, (7, 7))
        yield from across(
            "Upsample", [f32(1, 2, 5, 7), _scales(1, 1, scale, scale)], {"mode": mode}, (9, 9), constants=(1,)
        )
        yield from across("Upsample", [f32(1, 2, 5, 7), _scales(1, 1, scale, scale)], {"mode": mode}, (9, 9))


def _grid_sample() -> Iterator[Case]:
    padding = ("zeros", "border", "reflection")
    old, new = ("bilinear", "nearest", "bicubic"), ("linear", "nearest", "cubic")
    grid = Draw((2, 4, 5, 2), "wide")
    for n, (pad, align) in product(range(3), product(padding, (0, 1))):
        further = {"padding_mode": pad, "align_corners": align}
        yield from across("GridSample", [f32(2, 3, 6, 5), grid], {"mode": old[n], **further}, (16, 19))
        yield from across("GridSample", [f32(2, 3, 6, 5), grid], {"mode": new[n], **further}, (20, 23))
        if n < 2:
            volume = Draw((1, 3, 4, 2, 3), "wide")
            yield from across("GridSample", [f32(1, 2, 4, 5, 3), volume], {"mode": new[n], **further}, (20, 23))
    far = np.asarray([[[[3.0, -4.0], [1.0, 1.0], [-1.0, 0.0], [9.5, 2.0]]]], np.float32)
    for mode, pad, align in product(new, padding, (0, 1)):
        attributes = {"mode": mode, "padding_mode": pad, "align_corners": align}
        yield from newest("GridSample", [f32(1, 2, 4, 3), far], attributes)


def _affine_grid() -> Iterator[Case]:
    for align in (0, 1):
        yield from across("AffineGrid", [f32(2, 2, 3), i64(2, 3, 5, 4)], {"align_corners": align})
        yield from across("AffineGrid", [f32(2, 3, 4), i64(2, 3, 5, 4, 3)], {"align_corners": align})
    yield from across("AffineGrid", [f32(1, 2, 3), i64(1, 1, 1, 1)], {"align_corners": 0})
    yield from across("CenterCropPad", [f32(7, 6, 3), i64(4, 9, 3)])
    yield from across("CenterCropPad", [f32(7, 6, 3), i64(4, 9)], {"axes": [-1, 0]})
    yield from across("CenterCropPad", [f32(7, 6), i64(10)], {"axes": [1]})
