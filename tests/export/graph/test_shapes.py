"""Integers computed from shapes are followed through the operators that exporters write."""

from __future__ import annotations

import onnx
import onnx_graphsurgeon as gs
import pytest
from onnx import parser

from attnexport.export.graph.shapes import all_integers, integers, length, size_of, sizes_of
from attnexport.export.graph.size import Size, parse

H, W = Size.symbol("H"), Size.symbol("W")


def numbers(*values: int) -> list[Size]:
    return [Size.number(value) for value in values]


def tensors(body: str, inputs: str = "float[2,3,H,W] x", infer: bool = True) -> dict[str, gs.Variable]:
    text = f'<ir_version: 10, opset_import: ["" : 18]> g ({inputs}) => (int64[M] out) {{ {body} }}'
    model = parser.parse_model(text)
    if infer:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = gs.import_onnx(model)
    for node in graph.nodes:
        if node.op == "Constant":
            node.outputs[0].to_constant(node.attrs["value"].values)
    return dict(graph.tensors())


TWO = "two = Constant<value = int64 {2}>()"
BOUNDS = "a = Constant<value = int64[1] {{{}}}>() b = Constant<value = int64[1] {{{}}}>()"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("out = Shape(x)", [*numbers(2, 3), H, W]),
        ("out = Shape<start = 2, end = 3>(x)", [H]),
        (f"{TWO} s = Shape(x) out = Gather(s, two)", [H]),
        (f"{TWO} s = Shape(x) h = Gather(s, two) out = Sub(h, two)", [parse("H - 2")]),
        (f"{TWO} s = Shape(x) h = Gather(s, two) out = Mul(two, h)", [parse("2*H")]),
        (f"{TWO} s = Shape(x) h = Gather(s, two) out = Mul(h, h)", [parse("H**2")]),
        (f"{TWO} s = Shape(x) h = Gather(s, two) out = Div(h, two)", [parse("H//2")]),
        ("s = Shape(x) n = Neg(s) out = Div(s, n)", None),
        ("a = Shape<start = 2>(x) b = Shape<end = 1>(x) out = Concat<axis = 0>(b, a)", [*numbers(2), H, W]),
        ("s = Shape(x) out = ReduceProd(s)", [parse("6*H*W")]),
        ("s = Shape(x) out = ReduceSum(s)", None),
        (f"{BOUNDS.format(1, 4)} s = Shape(x) out = Slice(s, a, b)", [*numbers(3), H, W]),
        (f"{BOUNDS.format(1, 0)} s = Shape(x) out = Slice(s, a, a, b)", []),
        (f"{BOUNDS.format(-1, 1)} s = Shape(x) out = Slice(s, b, a, a, b)", [*numbers(3), H]),
    ],
)
def test_integers(body: str, expected: list[Size] | None) -> None:
    assert all_integers(tensors(body)["out"]) == expected


def test_a_slice_of_every_second_integer_backwards() -> None:
    body = "a = Constant<value = int64[1] {-1}>() b = Constant<value = int64[1] {-9}>() c = Constant<value = int64[1] {0}>()"
    step = "d = Constant<value = int64[1] {-2}>() s = Shape(x) out = Slice(s, a, b, c, d)"
    assert all_integers(tensors(f"{body} {step}")["out"]) == [W, *numbers(3)]


def test_one_unknown_integer_leaves_the_others_known() -> None:
    body = (
        "n = NonZero(x) a = Shape<start = 1>(n) b = ReduceSum(a) s = Shape<start = 2>(x) out = Concat<axis = 0>(b, s)"
    )
    out = tensors(body.replace("ReduceSum", "ReduceMax"))["out"]
    assert integers(out) is None  # not even the number of integers is known
    out = tensors(f"{TWO} k = Shape(x) h = Gather(k, two) d = Sub(two, two) q = Div(h, d) out = Add(q, k)")["out"]
    assert integers(out) == [None] * 4
    assert all_integers(out) is None


def test_integers_pass_a_reshape_to_one_axis_of_unknown_length() -> None:
    flat = "t = Constant<value = int64[1] {-1}>() s = Shape(x) out = Reshape(s, t)"
    table = "t = Constant<value = int64[2] {2, 2}>() s = Shape(x) out = Reshape(s, t)"
    for body, expected in ((flat, [*numbers(2, 3), H, W]), (table, None)):
        out = tensors(body, infer=False)["out"]
        out.shape = None
        assert all_integers(out) == expected


def test_the_length_behind_a_pad_is_known_if_inference_leaves_it_open() -> None:
    body = "p = Constant<value = int64[8] {0,0,1,2,0,0,1,3}>() padded = Pad(x, p) out = Shape(padded)"
    graph = tensors(body)
    padded = graph["padded"]
    expected = [*numbers(2, 3), parse("H + 2"), parse("W + 5")]
    assert [length(padded, axis) for axis in range(4)] == expected
    assert length(padded, -1) == expected[-1]
    assert (list(sizes_of(padded) or ()), all_integers(graph["out"])) == (expected, expected)


def test_an_axis_of_which_nothing_is_known_is_a_free_size() -> None:
    x = tensors("out = Shape(x)")["x"]
    x.shape = ["unk__3", None, "H*W", -1]
    assert [length(x, axis) for axis in range(4)] == [None, None, H * W, None]
    assert size_of(x, 0) == Size.symbol("unk__3")
    assert size_of(x, 1) == Size.symbol("x[1]")
    assert length(x, 4) is None
