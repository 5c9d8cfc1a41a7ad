"""Reductions over all opsets, and what walks an axis: ArgMax, TopK, CumSum."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from attnexport.benchmarks.reference_sweep.case import Case, across, newest
from attnexport.benchmarks.reference_sweep.draws import Draw, f32, i64, of, scalar

REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"),
    *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"),
)


def cases() -> Iterator[Case]:
    """All reductions."""
    for operator in REDUCTIONS:
        yield from _reduce(operator)
    yield from _arg()
    yield from _top_k()
    yield from _cumulative()


def _reduce(operator: str) -> Iterator[Case]:
    kind = "positive" if operator == "ReduceLogSum" else "normal"
    x = f32(2, 3, 4, kind=kind)
    for axes, keep in product((None, [1], [0, 2], [-1]), (0, 1)):
        attributes: dict[str, Any] = {"keepdims": keep} | ({} if axes is None else {"axes": axes})
        yield from across(operator, [x], attributes)
    since = 13 if operator == "ReduceSum" else 18
    for axes, keep in product(([1], [0, 2], [-1, 0]), (0, 1)):
        yield from across(operator, [x, i64(*axes)], {"keepdims": keep}, (since, 23), constants=(1,))
    for noop in (0, 1):
        attributes = {"noop_with_empty_axes": noop}
        yield from across(operator, [x], attributes, (since, 23))
        yield from across(operator, [x, i64()], attributes, (since, 23))
    yield from newest(operator, [x, i64(1)])
    if operator != "ReduceProd":
        yield from newest(operator, [f32(2, 10000, kind=kind), i64(1)], constants=(1,))
    yield from newest(operator, [f32(kind=kind)], {"keepdims": 0})
    if operator not in ("ReduceMax", "ReduceMin"):
        yield from newest(operator, [f32(2, 0, 3), i64(1)], {"keepdims": 0}, constants=(1,))
    yield from newest(operator, [of("int32", 2, 3, 4, kind="naturals"), i64(1)], constants=(1,))
    if operator in ("ReduceMax", "ReduceMin"):
        yield from newest(operator, [f32(2, 16, kind="edges"), i64(1)], constants=(1,))
        yield from across(operator, [of("bool", 3, 4), i64(1)], opsets=(20, 23), constants=(1,))
        for dtype in ("int8", "uint8", "int64"):
            yield from across(operator, [of(dtype, 3, 4)], {"axes": [1]}, (12, 17))
    if operator in ("ReduceLogSumExp", "ReduceL2"):
        yield from newest(operator, [f32(2, 5, kind="large"), i64(1)], constants=(1,))


def _arg() -> Iterator[Case]:
    for operator, axis, keep in product(("ArgMax", "ArgMin"), (0, 1, -1), (0, 1)):
        yield from across(operator, [f32(3, 4, 5)], {"axis": axis, "keepdims": keep})
    for operator, last in product(("ArgMax", "ArgMin"), (0, 1)):
        yield from across(operator, [f32(4, 12, kind="ties")], {"axis": 1, "select_last_index": last}, (12, 23))
        yield from across(operator, [of("int32", 4, 6)], {"axis": 1, "select_last_index": last}, (12, 23))
    yield from across("ArgMax", [f32(4, 12, kind="ties")])


def _top_k() -> Iterator[Case]:
    two = ("y0", "y1")
    yield from across("TopK", [f32(3, 6)], {"k": 2, "axis": 1}, (7, 9), outputs=two)
    yield from across("TopK", [f32(3, 6), i64(2)], {"axis": -1}, (10, 23), outputs=two, constants=(1,))
    for axis, largest, ordered in product((0, 1, -1), (0, 1), (0, 1)):
        attributes = {"axis": axis, "largest": largest, "sorted": ordered}
        yield from newest("TopK", [f32(5, 6, 4), i64(3)], attributes, outputs=two)
    for largest, k in product((0, 1), (1, 4, 12)):
        yield from newest("TopK", [f32(3, 12, kind="ties"), i64(k)], {"largest": largest}, outputs=two, constants=(1,))
    for dtype in ("int32", "int64", "float64"):
        yield from newest("TopK", [of(dtype, 3, 6), i64(2)], outputs=two)
    yield from newest("TopK", [f32(3, 300), i64(20)], outputs=two)


def _cumulative() -> Iterator[Case]:
    for exclusive, reverse, axis in product((0, 1), (0, 1), (0, 1, -1)):
        attributes = {"exclusive": exclusive, "reverse": reverse}
        yield from across("CumSum", [f32(3, 4), scalar(axis)], attributes)
    yield from newest("CumSum", [f32(3, 4), scalar(1, "int32")], constants=(1,))
    yield from newest("CumSum", [f32(5), i64(0)])
    for dtype in ("int32", "int64", "float64"):
        yield from newest("CumSum", [of(dtype, 3, 4), scalar(1)])
    yield from newest("CumSum", [Draw((2, 3, 4)), scalar(1)], {"exclusive": 1, "reverse": 1})
