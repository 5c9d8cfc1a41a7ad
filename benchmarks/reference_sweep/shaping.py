"""Operators that move values: Pad, Slice, Split, Concat, Reshape, Transpose, Tile, Expand and their kind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from attnexport.benchmarks.reference_sweep.case import Case, Input, across, newest
from attnexport.benchmarks.reference_sweep.draws import f32, i64, of, scalar


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _pad()
    yield from _slice()
    yield from _split_and_concat()
    yield from _axes()
    yield from _reshape()
    yield from _repeats()
    yield from _blocks()
    yield from _reverse()
    yield from _shapes()


def _pad() -> Iterator[Case]:
    pads = ([0, 1, 2, 0, 2, 1], [0, -1, -1, 0, 0, -1], [0, 2, -1, 0, -1, 2])
    modes = ("constant", "reflect", "edge", "wrap")
    for mode, amounts in product(modes, pads):
        yield from across("Pad", [f32(2, 4, 5)], {"mode": mode, "pads": amounts}, (7, 10))
        first = 19 if mode == "wrap" else 11
        yield from across("Pad", [f32(2, 4, 5), i64(*amounts)], {"mode": mode}, (first, 23), constants=(1,))
        yield from newest("Pad", [f32(2, 4, 5), i64(*amounts)], {"mode": mode})
        yield from newest(
            "Pad", [f32(2, 4, 5), i64(*amounts[1:3], *amounts[4:]), None, i64(1, -1)], {"mode": mode}, constants=(1, 3)
        )
    yield from across("Pad", [f32(2, 4, 5)], {"value": 1.5, "pads": pads[0]}, (7, 10))
    yield from across("Pad", [f32(2, 4, 5), i64(*pads[0]), scalar(1.5, "float32")], opsets=(11, 23), constants=(1, 2))
    yield from newest("Pad", [f32(2, 4, 5), i64(*pads[2]), scalar(1.5, "float32")])
    for dtype in ("int32", "int64", "uint8", "float64", "bool"):
        yield from newest("Pad", [of(dtype, 3, 4), i64(1, 0, 0, 2), scalar(1, dtype)], constants=(1,))
    yield from newest("Pad", [f32(2, 4, 5), i64(3, -1), None, scalar(0).reshape(1).astype(np.int32)])


def _slice() -> Iterator[Case]:
    starts: list[tuple[list[int], list[int], list[int] | None, list[int] | None]] = [
        ([1, 0], [3, 4], None, None),
        ([1], [-1], [1], None),
        ([-3], [2**31 - 1], [-1], None),
        ([0, 1], [4, 5], [0, 2], [2, 3]),
        ([-1], [-(2**31)], [1], [-1]),
        ([4, 3], [0, -100], [2, 1], [-2, -1]),
        ([100], [-100], [0], [-1]),
        ([2], [2], [1], None),
        ([1], [1000], [-2], [2]),
    ]
    for start, end, axes, steps in starts:
        if steps is None:
            attributes: dict[str, Any] = {"starts": start, "ends": end} | ({} if axes is None else {"axes": axes})
            yield from across("Slice", [f32(4, 5, 6)], attributes, (7, 9))
        inputs: list[Input] = [f32(4, 5, 6), i64(*start), i64(*end)]
        inputs += [None if axes is None else i64(*axes)] * (axes is not None or steps is not None)
        inputs += [i64(*steps)] if steps is not None else []
        yield from across("Slice", inputs, opsets=(10, 23), constants=tuple(range(1, len(inputs))))
    yield from newest(
        "Slice",
        [
            of("int32", 4, 5),
            i64(3).astype(np.int32),
            i64(0).astype(np.int32),
            i64(0).astype(np.int32),
            i64(-2).astype(np.int32),
        ],
    )


def _split_and_concat() -> Iterator[Case]:
    three = ("y0", "y1", "y2")
    for axis, sizes in product((0, 1), ([2, 1, 3], [2, 2, 2])):
        yield from across("Split", [f32(6, 6)], {"axis": axis, "split": sizes}, (7, 12), outputs=three)
        yield from across("Split", [f32(6, 6), i64(*sizes)], {"axis": axis}, (13, 23), outputs=three, constants=(1,))
    yield from across("Split", [f32(6, 4)], {"axis": 0}, (7, 17), outputs=three)
    yield from across("Split", [f32(4, 6)], {"axis": -1, "num_outputs": 3}, outputs=three)
    yield from across("Split", [f32(7, 4)], {"axis": 0, "num_outputs": 3}, outputs=three)
    yield from newest("Split", [f32(4, 5), i64(0, 4, 0)], {"axis": 0}, outputs=three, constants=(1,))
    for axis in (0, 1, -1):
        yield from across("Concat", [f32(2, 3), f32(2, 3, kind="unit")], {"axis": axis}, (11 if axis < 0 else 7, 23))
    yield from across("Concat", [f32(2, 3), f32(2, 1), f32(2, 0)], {"axis": 1})
    for dtype in ("int64", "bool", "float64", "uint8"):
        yield from newest("Concat", [of(dtype, 2, 3), of(dtype, 1, 3)], {"axis": 0})


def _axes() -> Iterator[Case]:
    for axes in ([0], [2], [0, 2], [-1], None):
        low = 11 if axes and axes[0] < 0 else 7
        yield from (
            across("Squeeze", [f32(1, 3, 1)], {} if axes is None else {"axes": axes}, (low, 12)) if axes != [-1] else ()
        )
        yield from across("Squeeze", [f32(1, 3, 1)] if axes is None else [f32(1, 3, 1), i64(*axes)], opsets=(13, 23))
    for axes in ([0], [1], [0, 3], [3, 0], [-1]):
        low = 11 if axes[0] < 0 else 7
        yield from across("Unsqueeze", [f32(2, 3)], {"axes": axes}, (low, 12))
        yield from across("Unsqueeze", [f32(2, 3), i64(*axes)], opsets=(13, 23), constants=(1,))
    for perm in (None, [2, 0, 1], [0, 2, 1], [2, 1, 0]):
        yield from across("Transpose", [f32(2, 3, 4)], {} if perm is None else {"perm": perm})
    for axis in (0, 1, 2, 3, -1):
        yield from across("Flatten", [f32(2, 3, 4)], {"axis": axis}, (11 if axis < 0 else 7, 23))


def _reshape() -> Iterator[Case]:
    for shape in ([4, 6], [-1, 3], [0, -1], [2, 0, 2, 2], [24]):
        yield from across("Reshape", [f32(2, 3, 4), i64(*shape)], constants=(1,))
        yield from newest("Reshape", [f32(2, 3, 4), i64(*shape)])
    yield from across("Reshape", [f32(0, 3), i64(3, 0)], {"allowzero": 1})
    yield from newest("Reshape", [f32(1), i64()])


def _repeats() -> Iterator[Case]:
    yield from across("Tile", [f32(2, 3), i64(2, 3)])
    yield from across("Tile", [f32(2, 3, 1), i64(1, 2, 4)], constants=(1,))
    yield from newest("Tile", [of("int64", 2, 3), i64(2, 1)])
    yield from newest("Tile", [of("bool", 2, 3), i64(0, 1)])
    for shape in ([2, 3, 4], [3, 1], [4], [2, 1, 1, 4]):
        yield from across("Expand", [f32(3, 1), i64(*shape)])
    yield from newest("Expand", [of("int64", 1), i64(3, 2)])
    yield from newest("Expand", [f32(), i64(2)])


def _blocks() -> Iterator[Case]:
    yield from across("SpaceToDepth", [f32(1, 2, 4, 6)], {"blocksize": 2})
    yield from across("SpaceToDepth", [f32(2, 1, 3, 6)], {"blocksize": 3})
    yield from across("DepthToSpace", [f32(1, 8, 2, 3)], {"blocksize": 2})
    for mode in ("DCR", "CRD"):
        yield from across("DepthToSpace", [f32(1, 8, 2, 3)], {"blocksize": 2, "mode": mode})
        yield from across("DepthToSpace", [f32(2, 9, 1, 2)], {"blocksize": 3, "mode": mode})


def _reverse() -> Iterator[Case]:
    lengths = i64(1, 4, 3)
    yield from across("ReverseSequence", [f32(4, 3, 2), lengths], {"time_axis": 0, "batch_axis": 1})
    yield from across("ReverseSequence", [f32(3, 4, 2), lengths], {"time_axis": 1, "batch_axis": 0})
    yield from across("ReverseSequence", [of("int64", 4, 3), lengths], constants=(1,))


def _shapes() -> Iterator[Case]:
    yield from across("Shape", [f32(2, 3, 4)])
    for start, end in ((1, 3), (-2, 2), (0, -1), (-9, 9), (2, 1)):
        yield from across("Shape", [f32(2, 3, 4)], {"start": start, "end": end})
    yield from across("Size", [f32(2, 3, 4)])
    yield from across("Identity", [f32(2, 3)])
    for dtype in ("int64", "bool", "float64", "float16"):
        yield from newest("Identity", [of(dtype, 2, 3)])
    yield from across("Dropout", [f32(2, 3)])
    yield from across("Dropout", [f32(2, 3)], {"ratio": 0.4}, outputs=("y0", "y1"))
    yield from across("Dropout", [f32(2, 3), scalar(0.4, "float32")], outputs=("y0", "y1"))
    yield from across("Dropout", [f32(2, 3), scalar(0.4, "float32"), scalar(0, "bool")], outputs=("y0", "y1"))
