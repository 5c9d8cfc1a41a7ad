"""Look-ups and writes by index: gathers, scatters with reductions, OneHot, NonZero, Unique, Compress."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from attnexport.benchmarks.reference_sweep.case import Case, Input, across, newest
from attnexport.benchmarks.reference_sweep.draws import f32, i64, of, scalar

_DTYPES = ("float32", "int32", "int64", "uint8", "bool", "float64", "float16")


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _gather()
    yield from _gather_elements()
    yield from _gather_nd()
    yield from _scatter()
    yield from _scatter_nd()
    yield from _one_hot()
    yield from _chosen()
    yield from _unique()
    yield from _made()
    yield from _boxes()


def _gather() -> Iterator[Case]:
    for axis, indices in product((0, 1, -1), (i64(0, 2, 1), i64(-1, 0), i64(0, 1, -2, 1).reshape(2, 2), scalar(1))):
        negative = bool((indices < 0).any()) or axis < 0
        yield from across("Gather", [f32(3, 4, 5), indices], {"axis": axis}, (11 if negative else 7, 23))
    yield from newest("Gather", [f32(3, 4), i64(0, 2).astype(np.int32)], constants=(1,))
    for dtype in _DTYPES:
        yield from newest("Gather", [of(dtype, 4, 3), i64(3, 0, -1)])


def _gather_elements() -> Iterator[Case]:
    for axis in (0, 1, -1):
        indices = np.asarray([[0, 2, 1], [-1, 0, -2]], np.int64)
        yield from across("GatherElements", [f32(3, 3), indices], {"axis": axis})
    yield from newest("GatherElements", [of("int32", 3, 3), i64(2, 0).reshape(1, 2).astype(np.int32)])
    yield from newest("GatherElements", [f32(2, 3, 4), np.zeros((2, 1, 4), np.int64)], {"axis": 1})


def _gather_nd() -> Iterator[Case]:
    yield from across("GatherND", [f32(3, 4, 5), i64(0, 1, 2, 3).reshape(2, 2)])
    yield from across("GatherND", [f32(3, 4, 5), i64(-1, -1, 0, 2, 3, 1).reshape(2, 3)])
    yield from across("GatherND", [f32(3, 4, 5), i64(1, 2).reshape(2, 1)])
    for batch in (1, 2):
        indices = np.asarray([[[1], [0]], [[-1], [2]], [[2], [1]]], np.int64)
        indices = indices if batch == 1 else np.tile(indices[:, :, :, None][:, :1], (1, 4, 2, 1)).reshape(3, 4, 2, 1)
        yield from across("GatherND", [f32(3, 4, 5), indices], {"batch_dims": batch})


def _scatter() -> Iterator[Case]:
    indices = np.asarray([[0, 2, 1], [1, 0, 2]], np.int64)
    negative = np.asarray([[-1, 2, -2], [1, -3, 0]], np.int64)
    for axis, places in product((0, 1, -1), (indices, negative)):
        yield from across("ScatterElements", [f32(3, 3), places, f32(2, 3)], {"axis": axis})
    for axis in (0, 1):
        yield from across("Scatter", [f32(3, 3), indices, f32(2, 3)], {"axis": axis})
    same = np.asarray([[1, 1, 1], [0, 1, -2]], np.int64)
    for reduction, axis in product(("add", "mul", "max", "min"), (0, 1)):
        yield from across("ScatterElements", [f32(3, 3), same, f32(2, 3)], {"axis": axis, "reduction": reduction})
        yield from newest(
            "ScatterElements", [of("int64", 3, 3), same, of("int64", 2, 3)], {"axis": axis, "reduction": reduction}
        )
    for dtype in _DTYPES:
        yield from newest("ScatterElements", [of(dtype, 3, 3), indices, of(dtype, 2, 3)])
    yield from newest("ScatterElements", [f32(3, 3), np.zeros((0, 3), np.int64), f32(0, 3)])


def _scatter_nd() -> Iterator[Case]:
    points = i64(0, 1, 2, -1).reshape(2, 2)
    yield from across("ScatterND", [f32(3, 4), points, f32(2)])
    yield from across("ScatterND", [f32(3, 4, 2), points, f32(2, 2)])
    yield from across("ScatterND", [f32(3, 4), i64(2, -3).reshape(2, 1), f32(2, 4)])
    for reduction in ("add", "mul", "max", "min"):
        yield from across(
            "ScatterND", [f32(3, 4), i64(0, 1, 0, 1, 2, -1).reshape(3, 2), f32(3)], {"reduction": reduction}
        )
        yield from newest(
            "ScatterND", [of("int32", 3, 4), i64(1, 1).reshape(2, 1), of("int32", 2, 4)], {"reduction": reduction}
        )


def _one_hot() -> Iterator[Case]:
    values = np.asarray([-1.0, 2.5], np.float32)
    for axis in (-1, 0, 1):
        yield from across("OneHot", [i64(0, 3, 1, 2), scalar(4), values], {"axis": axis})
        yield from newest("OneHot", [i64(0, -1, 7, -4, -5, 3).reshape(2, 3), scalar(4), values], {"axis": axis})
    yield from newest("OneHot", [f32(5, kind="ties"), np.asarray(4, np.float32), values])
    yield from newest("OneHot", [i64(0, 3), i64(4), i64(0, 1)])


def _chosen() -> Iterator[Case]:
    for dtype in ("float32", "int32", "int64", "bool", "uint8"):
        yield from across("NonZero", [of(dtype, 3, 4, kind="bits")])
    yield from newest("NonZero", [scalar(2.0, "float32")])
    condition = np.asarray([True, False, True])
    for axis in (None, 0, 1, -1):
        yield from across("Compress", [f32(3, 4), condition], {} if axis is None else {"axis": axis})
    yield from across("Compress", [of("int64", 3, 4), np.asarray([False, True])], {"axis": 0})


def _unique() -> Iterator[Case]:
    for axis, ordered in product((None, 0, 1, -1), (0, 1)):
        attributes = {"sorted": ordered} | ({} if axis is None else {"axis": axis})
        yield from across("Unique", [f32(4, 3, kind="bits")], attributes, outputs=("y0", "y1", "y2", "y3"))
    yield from newest("Unique", [of("int64", 9, kind="ties")])


def _made() -> Iterator[Case]:
    for k, dtype in product((0, 1, -2), (None, 1, 6, 7, 11)):
        attributes = {"k": k} | ({} if dtype is None else {"dtype": dtype})
        yield from across("EyeLike", [f32(3, 4)], attributes, (9 if dtype in (None, 1) else 22, 23))
    for upper, diagonal in product((0, 1), (None, 0, 1, -2, 5)):
        inputs: list[Input] = [f32(2, 3, 4)] if diagonal is None else [f32(2, 3, 4), scalar(diagonal)]
        yield from across("Trilu", inputs, {"upper": upper})
    yield from across("Trilu", [of("int64", 3, 4)])
    for value in (np.asarray([2.5], np.float32), i64(3), np.asarray([True])):
        tensor = numpy_helper.from_array(value)
        yield from across("ConstantOfShape", [i64(2, 3)], {"value": tensor})
    yield from across("ConstantOfShape", [i64(2, 3)])
    yield from across("ConstantOfShape", [i64()], {"value": numpy_helper.from_array(np.asarray([2.5], np.float32))})
    for kind, numbers in (
        ("int64", (1, 10, 3)),
        ("int64", (9, -2, -3)),
        ("float32", (0.0, 1.0, 0.3)),
        ("int32", (3, 3, 1)),
        ("float64", (5.0, 1.0, -1.5)),
    ):
        yield from across("Range", [scalar(number, kind) for number in numbers])
    constants: dict[str, Any] = {"value_float": 0.1, "value_floats": [0.1, 2.5], "value_int": 3, "value_ints": [1, -2]}
    for name, constant in constants.items():
        yield from across("Constant", [], {name: constant})
    yield from across("Constant", [], {"value": helper.make_tensor("t", 1, [2], [0.1, 3.0])})


def _boxes() -> Iterator[Case]:
    corners = np.asarray(
        [[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, -0.1, 1, 0.9], [0, 10, 1, 11], [0, 10.1, 1, 11.1], [0, 100, 1, 101]],
        np.float32,
    )
    scores = np.asarray([[[0.9, 0.75, 0.6, 0.95, 0.5, 0.3], [0.2, 0.8, 0.1, 0.7, 0.65, 0.4]]], np.float32)
    limits: list[Input] = [scalar(3), scalar(0.5, "float32"), scalar(0.35, "float32")]
    for center in (0, 1):
        boxes = (
            corners
            if not center
            else np.stack([corners[:, [1, 3]].mean(1), corners[:, [0, 2]].mean(1), np.ones(6), np.ones(6)], 1)
        )
        for count in (0, 1, 2, 3):
            inputs = [boxes.astype(np.float32)[None], scores, *limits[:count]]
            yield from across("NonMaxSuppression", inputs, {"center_point_box": center})
    turned = corners[:, [2, 3, 0, 1]][None]
    yield from across("NonMaxSuppression", [turned, scores, *limits])
