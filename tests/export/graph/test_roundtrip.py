"""A model keeps its header, metadata, functions and opset imports through every pass that uses onnx-graphsurgeon."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
from onnx import parser

from attnexport.export.domain import DOMAIN
from attnexport.export.lower import lower
from attnexport.export.raising import raise_windows
from attnexport.export.recognise import recognise
from attnexport.export.simplify.masked_writes import masked_writes
from attnexport.export.simplify.settle_shapes import settle_shapes

HEADER = """<ir_version: 10, opset_import: ["" : 18, "local" : 1, "attnexport" : 1], producer_name: "exporter",
  producer_version: "7.1", domain: "org.example", model_version: 3, doc_string: "a model">"""
FUNCTION = """<domain: "local", opset_import: ["" : 18]> twice (a) => (b) { b = Add(a, a) }"""

MASKED = """g (float[4, 6] x, bool[4, 6] m) => (float[4, 6] y)
  { n = NonZero(m) i = Transpose<perm = [1, 0]>(n) a = GatherND(x, i) w = ScatterND(x, i, a) y = local.twice(w) }"""
COMPUTED = """g (float[batch, 6] x) => (float[batch, 2, 3] y) <int64[2] rest = {2, 3}>
  { n = Shape<start = 0, end = 1>(x) to = Concat<axis = 0>(n, rest) v = Reshape(x, to) y = local.twice(v) }"""
SLICED = """g (float[batch, 9] x) => (float[batch, 3, 7] y) <int64[1] axis = {1}, int64[1] zero = {0},
  int64[1] one = {1}, int64[1] two = {2}, int64[1] seven = {7}, int64[1] eight = {8}, int64[1] nine = {9}>
  { r = Slice(x, zero, seven, axis) s = Slice(x, one, eight, axis) t = Slice(x, two, nine, axis)
    a = Unsqueeze(r, axis) b = Unsqueeze(s, axis) c = Unsqueeze(t, axis) v = Concat<axis = 1>(a, b, c)
    y = local.twice(v) }"""
WINDOWS = """g (float[1, 4, 8, 8] x, float[1, 4, 1, 36] q) => (float[1, 9, 36] y)
  <int64[4] shape = {1, 4, 9, 36}, int64[1] axis = {1}>
  { w = attnexport.Im2Col<kernel = [3, 3], dilation = [1, 1], stride = [1, 1], pads = [0, 0, 0, 0]>(x)
    k = Reshape(w, shape) p = Mul(k, q) v = ReduceSum<keepdims = 0>(p, axis) y = local.twice(v) }"""

PASSES: dict[str, tuple[str, Callable[[onnx.ModelProto], onnx.ModelProto]]] = {
    "masked_writes": (MASKED, lambda model: masked_writes(model).model),
    "settle_shapes": (COMPUTED, lambda model: settle_shapes(model).model),
    "raising": (SLICED, lambda model: raise_windows(model).model),
    "recognise": (WINDOWS, lambda model: recognise(model).model),
    "lower": (WINDOWS, lambda model: lower(model, ("ort-cpu",)).model),
}


def build(graph: str) -> onnx.ModelProto:
    model = parser.parse_model(f"{HEADER} {graph} {FUNCTION}")
    for number, node in enumerate(model.graph.node):
        node.name = f"n{number}"
    model.graph.doc_string = "a graph"
    for owner in (model, model.graph, model.graph.input[0], model.functions[0]):
        owner.metadata_props.add(key="key", value=type(owner).__name__)
    model.graph.input[0].doc_string = "an input"
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize(("graph", "run"), PASSES.values(), ids=PASSES)
def test_a_pass_keeps_everything_beside_the_nodes(
    graph: str, run: Callable[[onnx.ModelProto], onnx.ModelProto]
) -> None:
    model = build(graph)
    result = run(model)
    assert [n.op_type for n in result.graph.node] != [n.op_type for n in model.graph.node]
    names = ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string")
    assert [getattr(result, name) for name in names] == [getattr(model, name) for name in names]
    assert result.metadata_props == model.metadata_props
    assert result.graph.metadata_props == model.graph.metadata_props
    assert (result.graph.name, result.graph.doc_string) == ("g", "a graph")
    assert result.functions == model.functions
    assert list(result.graph.input) == list(model.graph.input)
    assert list(result.graph.output) == list(model.graph.output)
    imports = {entry.domain: entry.version for entry in model.opset_import}
    if run is PASSES["lower"][1]:
        del imports[DOMAIN]
    assert {entry.domain: entry.version for entry in result.opset_import} == imports
