"""Signals: DFT, STFT, windows, mel weights."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from attnexport.benchmarks.reference_sweep.case import Case, Input, across, newest
from attnexport.benchmarks.reference_sweep.draws import f32, of, scalar


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _dft()
    yield from _stft()
    yield from _windows()


def _dft() -> Iterator[Case]:
    for axis, inverse, onesided, parts in product((1, 2), (0, 1), (0, 1), (1, 2)):
        if onesided and (inverse or parts == 2):
            continue
        x = f32(2, 8, 5, parts)
        attributes = {"inverse": inverse, "onesided": onesided}
        yield from across("DFT", [x], {**attributes, "axis": axis}, (17, 19))
        yield from across("DFT", [x, None, scalar(axis)], attributes, (20, 23))
        for length in (4, 8, 11):
            yield from across("DFT", [x, scalar(length)], {**attributes, "axis": axis}, (17, 19))
            yield from across("DFT", [x, scalar(length), scalar(axis)], attributes, (20, 23), constants=(1, 2))
    yield from across("DFT", [f32(2, 8, 5, 2), None, scalar(-2)], {}, (20, 23))
    yield from across("DFT", [f32(2, 8, 2)], {}, (17, 23))
    yield from newest("DFT", [of("float64", 2, 8, 1)], {"onesided": 1})


def _stft() -> Iterator[Case]:
    window = f32(8, kind="positive")
    for onesided, step in product((0, 1), (2, 3, 8)):
        attributes = {"onesided": onesided}
        forms: tuple[list[Input], ...] = (
            [scalar(step), window],
            [scalar(step), window, scalar(8)],
            [scalar(step), None, scalar(8)],
        )
        for form in forms:
            yield from across("STFT", [f32(2, 32, 1), *form], attributes)
    yield from across("STFT", [f32(2, 32, 2), scalar(4), window], {"onesided": 0})


def _windows() -> Iterator[Case]:
    for operator, periodic, size in product(("HannWindow", "HammingWindow", "BlackmanWindow"), (0, 1), (10, 7)):
        yield from across(operator, [scalar(size)], {"periodic": periodic})
        attributes: dict[str, Any] = {"periodic": periodic, "output_datatype": 11}
        yield from across(operator, [scalar(size, "int32")], attributes)
    for bins, spectrum in ((4, 16), (8, 64)):
        inputs: list[Input] = [
            scalar(bins),
            scalar(spectrum),
            scalar(8192),
            scalar(0.0, "float32"),
            scalar(4096.0, "float32"),
        ]
        yield from across("MelWeightMatrix", inputs)
    yield from across(
        "MelWeightMatrix",
        [scalar(4), scalar(32), scalar(16000), np.asarray(20.0, np.float32), np.asarray(7600.0, np.float32)],
    )
