"""Pads that the TorchScript exporter leaves to the run become constants, and shapes behind them are known."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import parser

from attnexport.export.raising.evaluate import settle_pads

BODY = """
    a = Constant<value = int64[4] {1, 2, 3, 4}>() n = Constant<value = int64[1] {4}>()
    z = ConstantOfShape<value = int64[1] {0}>(n) c = Concat<axis = 0>(a, z) two = Constant<value = int64[2] {-1, 2}>() r = Reshape(c, two)
    b = Constant<value = int64[1] {-1}>() e = Constant<value = int64[1] {-9223372036854775807}>() o = Constant<value = int64[1] {0}>()
    s = Slice(r, b, e, o, b) t = Transpose<perm = [1, 0]>(s) pads = Reshape(t, b) y = Pad(x, pads)
"""


def graph_of(body: str, inputs: str = "float[2,3,8,9] x") -> gs.Graph:
    text = f'<ir_version: 10, opset_import: ["" : 18]> g ({inputs}) => (float[A,B,C,D] y) {{ {body} }}'
    graph = gs.import_onnx(parser.parse_model(text))
    for node in graph.nodes:
        if node.op == "Constant":
            node.outputs[0].to_constant(node.attrs["value"].values)
    return graph


def test_the_numbers_are_written_down() -> None:
    graph = graph_of(BODY)
    assert settle_pads(graph)
    (pad,) = [node for node in graph.nodes if node.op == "Pad"]
    np.testing.assert_array_equal(pad.inputs[1].values, [0, 0, 3, 1, 0, 0, 4, 2])
    model = onnx.shape_inference.infer_shapes(gs.export_onnx(graph.cleanup()))
    assert [node.op_type for node in model.graph.node] == ["Pad"]
    assert not settle_pads(graph)


def test_pads_that_depend_on_an_input_stay() -> None:
    graph = graph_of("y = Pad(x, p)", "float[2,3,8,9] x, int64[8] p")
    assert not settle_pads(graph)
