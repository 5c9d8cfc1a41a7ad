"""Integers computed from constants are evaluated as ONNX Runtime does."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import parser

from attnexport.export.raising.evaluate import numbers
from attnexport.runtime.sessions.ort import OrtSession

HEAD = "c = Constant<value = int64[6] {1, 2, 3, 4, 5, 6}>() n = Constant<value = int64[1] {3}>()"


@pytest.mark.parametrize(
    "body",
    [
        "out = ConstantOfShape<value = int64[1] {7}>(n)",
        "z = ConstantOfShape<value = int64[1] {0}>(n) out = Concat<axis = 0>(c, z)",
        "s = Constant<value = int64[2] {-1, 2}>() out = Reshape(c, s)",
        "s = Constant<value = int64[2] {0, 1}>() out = Reshape(c, s)",
        "s = Constant<value = int64[2] {-1, 2}>() r = Reshape(c, s) out = Transpose<perm = [1, 0]>(r)",
        "b = Constant<value = int64[1] {-1}>() e = Constant<value = int64[1] {-9223372036854775807}>()"
        " a = Constant<value = int64[1] {0}>() out = Slice(c, b, e, a, b)",
        "b = Constant<value = int64[1] {1}>() e = Constant<value = int64[1] {-1}>() out = Slice(c, b, e)",
        "o = ConstantOfShape<value = int64[1] {1}>(n) z = NonZero(o) t = Transpose(z) a = Constant<value = int64[1] {1}>()"
        " i = Squeeze(t, a) j = Mul(i, n) k = Add(j, n) out = Unsqueeze(k, a)",
    ],
)
def test_numbers(body: str) -> None:
    text = f'<ir_version: 10, opset_import: ["" : 18]> g (int64[1] x) => (int64[M] out) {{ {HEAD} {body} }}'
    model = parser.parse_model(text)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    (expected,) = OrtSession(model.SerializeToString()).run({"x": np.zeros(1, np.int64)}).values()
    graph = gs.import_onnx(model)
    for node in graph.nodes:
        if node.op == "Constant":
            node.outputs[0].to_constant(node.attrs["value"].values)
    found = numbers(graph.outputs[0])
    assert found is not None
    np.testing.assert_array_equal(found, expected)


def test_what_depends_on_an_input_or_is_no_integer_is_not_known() -> None:
    graph = gs.import_onnx(
        onnx.parser.parse_model(
            '<ir_version: 10, opset_import: ["" : 18]> g (int64[3] x) => (int64[3] out) { out = Add(x, x) }'
        )
    )
    assert numbers(graph.outputs[0]) is None
    assert numbers(gs.Constant("c", np.ones(2, np.float32))) is None
    floats = gs.Variable("y")
    gs.Node("ConstantOfShape", inputs=[gs.Constant("n", np.array([3]))], outputs=[floats])
    assert numbers(floats) is None
