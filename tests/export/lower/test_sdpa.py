"""What the forms of Sdpa share: the bias that all masks become, and when a row may be empty."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest

from attnexport.export.graph.builder import GraphBuilder
from attnexport.export.lower.sdpa import SdpaInputs, bias, empty_rows, scaled


def tensor(name: str, shape, dtype=np.float32) -> gs.Variable:
    return gs.Variable(name, dtype, shape)


def node_of(mask=None, keep=None, **attrs) -> gs.Node:
    inputs = [tensor(name, ("n", 4, length, 8)) for name, length in (("q", 5), ("k", 7), ("v", 7))]
    absent = gs.Variable.empty()
    inputs += [mask if mask is not None else absent, keep if keep is not None else absent]
    return gs.Node("Sdpa", "s", {"causal": 0, "groups": 1, **attrs}, inputs, [tensor("y", ("n", 4, 5, 8))])


def made(node: gs.Node) -> tuple[GraphBuilder, list[str], object]:
    """The emitter, the operators of bias and empty rows, and what tells the empty rows."""
    emit, parts = GraphBuilder(node, set(), 18), SdpaInputs.of(node)
    empty = empty_rows(emit, parts, bias(emit, parts, 5, 7))
    return emit, [inner.op for inner in emit.nodes], empty


KEEP = tensor("keep", ("n", 1, 1, 7), np.bool_)
FLOATS = tensor("mask", (5, 7))
OPEN = np.ones((5, 7), bool)
SHUT = np.where(np.arange(5)[:, None] == 2, False, OPEN)


@pytest.mark.parametrize(
    ("given", "operators"),
    [
        ({}, []),
        ({"causal": 1}, ["Unsqueeze", "LessOrEqual", "Where"]),
        ({"mask": FLOATS}, ["ReduceMax", "Equal"]),
        ({"keep": KEEP}, ["Where", "ReduceMax", "Equal"]),
        ({"mask": FLOATS, "keep": KEEP}, ["Where", "ReduceMax", "Equal"]),
        ({"keep": KEEP, "causal": 1}, ["Where", "Unsqueeze", "LessOrEqual", "Where", "ReduceMax", "Equal"]),
        ({"keep": gs.Constant("c", OPEN)}, ["Where"]),
        ({"keep": gs.Constant("c", SHUT)}, ["Where", "ReduceMax", "Equal"]),
        ({"mask": gs.Constant("c", np.where(OPEN, 0, -np.inf).astype(np.float32))}, []),
        ({"mask": gs.Constant("c", np.where(SHUT, 0, -np.inf).astype(np.float32))}, ["ReduceMax", "Equal"]),
    ],
)
def test_what_is_made_of_the_masks(given, operators) -> None:
    _, found, empty = made(node_of(**given))
    assert sorted(found) == sorted(operators)
    assert (empty is not None) == ("Equal" in operators)


@pytest.mark.parametrize(("scale", "query", "key"), [(0.25, 0.5, 0.5), (-4.0, -2.0, 2.0)])
def test_the_scale_is_split(scale, query, key) -> None:
    node = node_of(scale=scale)
    emit = GraphBuilder(node, set(), 18)
    scaled(emit, SdpaInputs.of(node))
    assert [inner.inputs[1].values.item() for inner in emit.nodes] == [query, key]


def test_an_absent_scale_is_1_and_absent_masks_are_none() -> None:
    parts = SdpaInputs.of(node_of())
    assert (parts.scale, parts.mask, parts.keep) == (1.0, None, None)
    node = node_of()
    node.inputs.pop()
    node.inputs.pop()
    assert SdpaInputs.of(node).keep is None
    emit = GraphBuilder(node, set(), 18)
    assert scaled(emit, parts) == (parts.query, parts.key) and not emit.nodes


def test_an_unknown_rank_is_refused() -> None:
    node = node_of()
    node.inputs[1].shape = None
    assert SdpaInputs.of(node).refusal() == "the rank of key is not known"
