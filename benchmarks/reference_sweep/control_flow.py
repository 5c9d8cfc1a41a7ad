"""Bodies: If, Loop and Scan, with captured values, directions, axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from attnexport.benchmarks.reference_sweep.case import Case, Input, across, newest
from attnexport.benchmarks.reference_sweep.draws import f32, scalar

_TWO = ("y0", "y1")
_FLOAT, _INT, _BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


_IN, _OUT = {"i": _INT, "go": _BOOL, "state": _FLOAT}, {"again": _BOOL, "next": _FLOAT, "row": _FLOAT}


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _if()
    yield from _loop()
    yield from _scan()
    yield from _nested()


def _graph(nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, int], outputs: Mapping[str, int]) -> onnx.GraphProto:
    values, results = (
        [helper.make_tensor_value_info(name, kind, None if kind == _FLOAT else []) for name, kind in side.items()]
        for side in (inputs, outputs)
    )
    return helper.make_graph(list(nodes), "body", values, results)


def _if() -> Iterator[Case]:
    for branch in (True, False):
        yes = _graph(
            [helper.make_node("Constant", [], ["a"], value=helper.make_tensor("t", _FLOAT, [2], [0.1, 2.0]))],
            {},
            {"a": _FLOAT},
        )
        no = _graph(
            [helper.make_node("Constant", [], ["b"], value=helper.make_tensor("t", _FLOAT, [2], [0.3, -1.0]))],
            {},
            {"b": _FLOAT},
        )
        attributes: dict[str, Any] = {"then_branch": yes, "else_branch": no}
        yield from across("If", [scalar(branch, "bool")], attributes, body="constants")


def _loop() -> Iterator[Case]:
    step = [
        helper.make_node("Add", ["state", "state"], ["double"]),
        helper.make_node("Cast", ["i"], ["number"], to=_FLOAT),
        helper.make_node("Add", ["double", "number"], ["next"]),
        helper.make_node("Identity", ["next"], ["row"]),
        helper.make_node("Identity", ["go"], ["again"]),
    ]
    body = _graph(step, _IN, _OUT)
    for trips, start in product((0, 1, 4), (True, False)):
        inputs: list[Input] = [scalar(trips), scalar(start, "bool"), f32(2, 3)]
        yield from across("Loop", inputs, {"body": body}, outputs=("y0", "y1"), body="doubles and counts")
    yield from newest(
        "Loop", [scalar(3), None, f32(2, 3)], {"body": body}, outputs=("y0", "y1"), body="doubles and counts"
    )
    limit = helper.make_node("Constant", [], ["limit"], value=helper.make_tensor("t", _INT, [], [2]))
    ends = [*step[:4], limit, helper.make_node("Less", ["i", "limit"], ["again"])]
    body = _graph(ends, _IN, _OUT)
    for limit_of in (scalar(2), scalar(9), None):
        yield from across(
            "Loop",
            [limit_of, scalar(True, "bool"), f32(2, 3)],
            {"body": body},
            (9, 23),
            outputs=("y0", "y1"),
            body="ends at the third",
        )


def _nested() -> Iterator[Case]:
    """A body that reads what the outer graph made, and an If inside a Loop."""
    add = _graph([helper.make_node("Add", ["state", "x2"], ["sum"])], {}, {"sum": _FLOAT})
    double = _graph([helper.make_node("Mul", ["state", "state"], ["product"])], {}, {"product": _FLOAT})
    step = [
        helper.make_node("Constant", [], ["limit"], value=helper.make_tensor("t", _INT, [], [1])),
        helper.make_node("Greater", ["i", "limit"], ["late"]),
        helper.make_node("If", ["late"], ["next"], then_branch=add, else_branch=double),
        helper.make_node("Identity", ["next"], ["row"]),
        helper.make_node("Identity", ["go"], ["again"]),
    ]
    loop = helper.make_node("Loop", ["x0", "x1", "x2"], list(_TWO), body=_graph(step, _IN, _OUT))
    inputs: list[Input] = [scalar(4), scalar(True, "bool"), f32(2, 3)]
    yield from across(
        "Loop", inputs, opsets=(9, 23), outputs=_TWO, nodes=(loop,), body="an If inside, with captured values"
    )


def _scan() -> Iterator[Case]:
    nodes = [
        helper.make_node("Add", ["state", "x"], ["next"]),
        helper.make_node("Mul", ["next", "z"], ["row"]),
    ]
    body = _graph(nodes, {"state": _FLOAT, "x": _FLOAT, "z": _FLOAT}, {"next": _FLOAT, "row": _FLOAT})
    base = {"body": body, "num_scan_inputs": 2}
    text = "adds and multiplies"
    outputs = ("y0", "y1")
    inputs: list[Input] = [f32(3), f32(4, 3), f32(4, 3, kind="unit")]
    yield from across("Scan", inputs, base, (9, 23), outputs=outputs, body=text)
    for one, two, out in product((0, 1), repeat=3):
        directions = {"scan_input_directions": [one, two], "scan_output_directions": [out]}
        yield from newest("Scan", inputs, {**base, **directions}, outputs=outputs, body=text)
    for axes, out in product(([1, 0], [-1, 0], [1, 1]), (0, 1, -1)):
        shapes = [f32(3, 4) if axis else f32(4, 3) for axis in axes]
        turned = {"scan_input_axes": axes, "scan_output_axes": [out]}
        yield from newest("Scan", [f32(3), *shapes], {**base, **turned}, outputs=outputs, body=text)
    turned = {
        "scan_input_axes": [1, 0],
        "scan_output_axes": [1],
        "scan_input_directions": [1, 0],
        "scan_output_directions": [1],
    }
    yield from across("Scan", [f32(3), f32(3, 4), f32(4, 3)], {**base, **turned}, (9, 23), outputs=outputs, body=text)
    batched: list[Input] = [np.asarray([4, 2], np.int64), f32(2, 3), f32(2, 4, 3), f32(2, 4, 3, kind="unit")]
    yield from across("Scan", batched, base, (8, 8), outputs=outputs, body=text)
    yield from across("Scan", [None, *batched[1:]], base, (8, 8), outputs=outputs, body=text)
    yield from across("Scan", [None, *batched[1:]], {**base, "directions": [1, 0]}, (8, 8), outputs=outputs, body=text)
