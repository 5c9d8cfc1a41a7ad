"""Integers computed from shapes are followed through the operators that exporters use."""

from __future__ import annotations

import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import parser

from attnexport.export.raising.linear import Linear
from attnexport.export.raising.sizes import integers, length

H, W = Linear.symbol("H"), Linear.symbol("W")


def tensors(body: str, inputs: str = "float[2,3,H,W] x") -> dict[str, gs.Variable]:
    text = f'<ir_version: 10, opset_import: ["" : 18]> g ({inputs}) => (int64[M] out) {{ {body} }}'
    model = onnx.shape_inference.infer_shapes(parser.parse_model(text), data_prop=True)
    graph = gs.import_onnx(model)
    for node in graph.nodes:
        if node.op == "Constant":
            node.outputs[0].to_constant(node.attrs["value"].values)
    return dict(graph.tensors())


TWO = "two = Constant<value = int64 {2}>()"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("out = Shape(x)", [Linear(2), Linear(3), H, W]),
        ("out = Shape<start = 2, end = 3>(x)", [H]),
        (f"{TWO} s = Shape(x) out = Gather(s, two)", [H]),
        (f"{TWO} s = Shape(x) h = Gather(s, two) out = Sub(h, two)", [H - Linear(2)]),
        (f"{TWO} s = Shape(x) h = Gather(s, two) out = Mul(two, h)", [H.times(2)]),
        (f"{TWO} s = Shape(x) h = Gather(s, two) out = Mul(h, h)", None),
        (f"{TWO} s = Shape(x) h = Gather(s, two) out = Div(h, two)", None),
        ("a = Shape<start = 2>(x) b = Shape<end = 1>(x) out = Concat<axis = 0>(b, a)", [Linear(2), H, W]),
        ("s = Shape(x) out = ReduceSum(s)", None),
    ],
)
def test_integers(body: str, expected: list[Linear] | None) -> None:
    assert integers(tensors(body)["out"]) == expected


def test_the_length_behind_a_pad_is_known_where_inference_leaves_it_open() -> None:
    found = tensors("p = Constant<value = int64[8] {0,0,1,2,0,0,1,3}>() padded = Pad(x, p) out = Shape(padded)")
    padded = found["padded"]
    assert length(padded, 2) == H + Linear(2)
    assert length(padded, 3) == W + Linear(5)
    assert length(padded, 1) == Linear(3)
