"""Quantised operators: scales per tensor, axis and block; zero points; integer products."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from attnexport.benchmarks.reference_sweep.case import Case, Input, across, newest
from attnexport.benchmarks.reference_sweep.draws import Draw, f32, of, scalar

_ZEROS = {"uint8": 120, "int8": -7}


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _quantise()
    yield from _dequantise()
    yield from _dynamic()
    yield from _products()
    yield from _convolutions()


def _scale(*values: float) -> np.ndarray:
    return np.asarray(values if len(values) > 1 else values[0], np.float32)


def _quantise() -> Iterator[Case]:
    for dtype, kind in product(_ZEROS, ("normal", "quarters", "large")):
        yield from across("QuantizeLinear", [f32(4, 12, kind=kind), _scale(0.5), scalar(_ZEROS[dtype], dtype)])
        yield from newest("QuantizeLinear", [f32(4, 12, kind=kind), _scale(0.037), scalar(_ZEROS[dtype], dtype)])
    yield from across("QuantizeLinear", [f32(4, 12), _scale(0.1)])
    zeros = np.asarray([1, 5, 9], np.uint8)
    for axis, shape in ((1, (2, 3, 4)), (0, (3, 5)), (-2, (2, 3, 4))):
        yield from across("QuantizeLinear", [f32(*shape), _scale(0.1, 0.05, 0.5), zeros], {"axis": axis})
    blocks = Draw((3, 2), "positive")
    yield from across("QuantizeLinear", [f32(3, 4), blocks], {"axis": 1, "block_size": 2})
    yield from across(
        "QuantizeLinear", [f32(3, 4), blocks, Draw((3, 2), "ties", "uint8")], {"axis": 1, "block_size": 2}
    )
    for dtype in ("int16", "uint16"):
        yield from across("QuantizeLinear", [f32(4, 12, kind="large"), _scale(0.25), scalar(3, dtype)], opsets=(21, 23))


def _dequantise() -> Iterator[Case]:
    for dtype, kind in (("uint8", "bytes"), ("int8", "signed_bytes")):
        x = Draw((4, 6), kind, dtype)
        yield from across("DequantizeLinear", [x, _scale(0.037), scalar(_ZEROS[dtype], dtype)])
        yield from across("DequantizeLinear", [x, _scale(0.037)])
    x = Draw((2, 3, 4), "bytes", "uint8")
    for axis in (1, -2):
        yield from across(
            "DequantizeLinear", [x, _scale(0.1, 0.05, 0.5), np.asarray([1, 5, 9], np.uint8)], {"axis": axis}
        )
    yield from across("DequantizeLinear", [of("int32", 3, 4), _scale(0.01)])
    zeros = Draw((3, 2), "ties", "uint8")
    yield from across(
        "DequantizeLinear",
        [Draw((3, 4), "bytes", "uint8"), Draw((3, 2), "positive"), zeros],
        {"axis": 1, "block_size": 2},
    )
    for dtype in ("int16", "uint16"):
        yield from across("DequantizeLinear", [of(dtype, 3, 4), _scale(0.01), scalar(3, dtype)], opsets=(21, 23))


def _dynamic() -> Iterator[Case]:
    for kind in ("normal", "positive", "large", "unit", "halves"):
        yield from across("DynamicQuantizeLinear", [f32(3, 7, kind=kind)], outputs=("y0", "y1", "y2"))


def _products() -> Iterator[Case]:
    for left, right in product(("uint8", "int8"), repeat=2):
        a, b = _bytes(left, 3, 4), _bytes(right, 4, 2)
        points: tuple[list[Input], ...] = (
            [],
            [scalar(_ZEROS[left], left)],
            [scalar(_ZEROS[left], left), scalar(_ZEROS[right], right)],
        )
        for zeros in points:
            yield from across("MatMulInteger", [a, b, *zeros])
        factors: list[Input] = [
            a,
            _scale(0.02),
            scalar(_ZEROS[left], left),
            b,
            _scale(0.01),
            scalar(_ZEROS[right], right),
        ]
        if (left, right) == ("int8", "uint8"):
            continue  # ONNX Runtime has no kernel
        yield from across("QLinearMatMul", [*factors, _scale(0.5), scalar(_ZEROS[left], left)])
    columns = np.asarray([3, 7], np.uint8)
    yield from newest(
        "MatMulInteger",
        [_bytes("uint8", 2, 3, 4), _bytes("uint8", 4, 2), scalar(1, "uint8"), columns],
        constants=(1, 3),
    )


def _bytes(dtype: str, *shape: int) -> Draw:
    return Draw(shape, "bytes" if dtype == "uint8" else "signed_bytes", dtype)


def _convolutions() -> Iterator[Case]:
    geometries: tuple[dict[str, Any], ...] = (
        {},
        {"pads": [1, 0, 0, 1], "strides": [2, 1]},
        {"auto_pad": "SAME_UPPER"},
        {"dilations": [2, 1]},
    )
    for geometry, group in product(geometries, (1, 2)):
        attributes = {**geometry, "group": group}
        x, w = _bytes("uint8", 1, 4, 6, 5), _bytes("uint8", 4, 4 // group, 3, 2)
        yield from across("ConvInteger", [x, w, scalar(120, "uint8")], attributes)
        yield from across("ConvInteger", [x, w, scalar(120, "uint8"), scalar(3, "uint8")], attributes)
        yield from across("ConvInteger", [x, w], attributes)
        for dtype in ("uint8", "int8"):
            kernel = _bytes(dtype, 4, 4 // group, 3, 2)
            inputs: list[Input] = [
                x,
                _scale(0.02),
                scalar(120, "uint8"),
                kernel,
                _scale(0.01),
                scalar(0 if dtype == "int8" else 100, dtype),
            ]
            inputs += [_scale(0.5), scalar(110, "uint8")]
            yield from across("QLinearConv", inputs, attributes, constants=(3, 4, 5))
            yield from across("QLinearConv", [*inputs, of("int32", 4)], attributes, constants=(1, 2, 3, 4, 5, 6, 7, 8))
    scales = _scale(0.01, 0.02, 0.005, 0.04)
    inputs = [
        _bytes("uint8", 1, 4, 6, 5),
        _scale(0.02),
        scalar(120, "uint8"),
        _bytes("int8", 4, 4, 3, 2),
        scales,
        np.zeros(4, np.int8),
    ]
    yield from across("QLinearConv", [*inputs, _scale(0.5), scalar(110, "uint8")], constants=(3, 4, 5))
