"""Sequences and optional values inside a graph whose inputs and outputs are tensors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper

from attnexport.benchmarks.reference_sweep.case import Case, Input, across, newest
from attnexport.benchmarks.reference_sweep.draws import f32, scalar

_make = helper.make_node
_BOTH = _make("SequenceConstruct", ["x0", "x1"], ["s"])
_CHAINS: tuple[tuple[str, str, tuple[onnx.NodeProto, ...]], ...] = (
    ("ConcatFromSequence", "constructs and joins", (_BOTH, _make("ConcatFromSequence", ["s"], ["y0"], axis=1))),
    ("SequenceConstruct", "stacks", (_BOTH, _make("ConcatFromSequence", ["s"], ["y0"], axis=-1, new_axis=1))),
    ("SequenceAt", "takes the last", (_BOTH, _make("SequenceAt", ["s", "x2"], ["y0"]))),
    (
        "SequenceInsert",
        "inserts",
        (_BOTH, _make("SequenceInsert", ["s", "x0", "x2"], ["t"]), _make("ConcatFromSequence", ["t"], ["y0"], axis=0)),
    ),
    (
        "SequenceErase",
        "erases",
        (_BOTH, _make("SequenceErase", ["s", "x2"], ["t"]), _make("ConcatFromSequence", ["t"], ["y0"], axis=0)),
    ),
    (
        "SequenceEmpty",
        "begins empty",
        (
            _make("SequenceEmpty", [], ["s"]),
            _make("SequenceInsert", ["s", "x1"], ["t"]),
            _make("ConcatFromSequence", ["t"], ["y0"], axis=0),
        ),
    ),
    ("SequenceLength", "counts", (_BOTH, _make("SequenceLength", ["s"], ["y0"]))),
    (
        "SplitToSequence",
        "splits and counts",
        (_make("SplitToSequence", ["x0"], ["s"], axis=1), _make("SequenceLength", ["s"], ["y0"])),
    ),
    ("Optional", "wraps and takes", (_make("Optional", ["x0"], ["o"]), _make("OptionalGetElement", ["o"], ["y0"]))),
    (
        "OptionalGetElement",
        "of a wrapped tensor",
        (_make("Optional", ["x0"], ["o"]), _make("OptionalGetElement", ["o"], ["y0"])),
    ),
    ("OptionalGetElement", "of a tensor", (_make("OptionalGetElement", ["x0"], ["y0"]),)),
    ("OptionalHasElement", "of a tensor", (_make("OptionalHasElement", ["x0"], ["y0"]),)),
    (
        "OptionalHasElement",
        "of a wrapped tensor",
        (_make("Optional", ["x0"], ["o"]), _make("OptionalHasElement", ["o"], ["y0"])),
    ),
    (
        "SplitToSequence",
        "splits without the axis",
        (
            _make("SplitToSequence", ["x0"], ["s"], axis=1, keepdims=0),
            _make("ConcatFromSequence", ["s"], ["y0"], axis=0, new_axis=1),
        ),
    ),
)


def cases() -> Iterator[Case]:
    """All of them."""
    for operator, text, nodes in _CHAINS:
        used = {name for node in nodes for name in node.input if name.startswith("x")}
        inputs: list[Input] = [f32(2, 3), f32(2, 3, kind="unit"), scalar(-1)]
        yield from across(operator, inputs[: 1 + max(int(name[1:]) for name in used)], nodes=nodes, body=text)
    parts = (_make("SplitToSequence", ["x0", "x1"], ["s"], axis=0), _make("SequenceAt", ["s", "x2"], ["y0"]))
    yield from newest(
        "SplitToSequence", [f32(6, 2), scalar(4), scalar(1)], nodes=parts, body="a size that does not divide"
    )
    sizes = np.asarray([1, 3, 2], np.int64)
    yield from newest("SplitToSequence", [f32(6, 2), sizes, scalar(-2)], nodes=parts, body="sizes")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a", "b")]
    squares = helper.make_graph([_make("Mul", ["a", "a"], ["b"])], "body", values[:1], values[1:])
    mapped = (
        _BOTH,
        _make("SequenceMap", ["s"], ["t"], body=squares),
        _make("ConcatFromSequence", ["t"], ["y0"], axis=0),
    )
    yield from newest("SequenceMap", [f32(2, 3), f32(1, 3)], nodes=mapped, body="squares each")
