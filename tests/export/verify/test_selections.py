"""The rows that a model selects are found in its graph: by the operator, the axis and the order of the scores."""

from __future__ import annotations

import onnx
import pytest
from onnx import parser

from attnexport.export.verify.selections import find_selections
from attnexport.runtime.bundle.sections import Selection
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 2, 16, "batch")
INPUTS = (TensorSpec("x", "float32", (BATCH, Axis.fixed(50))),)


def _model(body: str, outputs: str) -> onnx.ModelProto:
    text = f"""<ir_version: 10, opset_import: ["" : 18]>
    net (float[batch, 50] x) => ({outputs})
    <int64[1] k = {{8}}, int64[1] first = {{1}}>
    {{ {body} }}"""
    model = parser.parse_model(text)
    return onnx.shape_inference.infer_shapes(model)


def _spec(name: str, dtype: str, *sizes: int) -> TensorSpec:
    return TensorSpec(name, dtype, (BATCH, *(Axis.fixed(size) for size in sizes)))


TOP = "score, index = TopK (x, k)"


@pytest.mark.parametrize(
    ("body", "outputs", "specs", "expected"),
    [
        (TOP, "float[batch, 8] score, int64[batch, 8] index",
         [_spec("score", "float32", 8), _spec("index", "int64", 8)], [Selection({"score": 1, "index": 1}, "score")]),
        (f"{TOP} place = Cast <to = 1> (index)", "float[batch, 8] place",
         [_spec("place", "float32", 8)], [Selection({"place": 1}, "")]),
        (f"{TOP} probability = Sigmoid (score)", "float[batch, 8] probability",
         [_spec("probability", "float32", 8)], [Selection({"probability": 1}, "probability")]),
        (f"{TOP} other = Neg (score)", "float[batch, 8] other", [_spec("other", "float32", 8)], [Selection({"other": 1}, "")]),
        (f"{TOP} total = ReduceSum (score)", "float[1, 1] total",
         [TensorSpec("total", "float32", (Axis.fixed(1), Axis.fixed(1)))], []),
        ("y = Relu (x)", "float[batch, 50] y", [_spec("y", "float32", 50)], []),
        (f"{TOP} y = Relu (x)", "float[batch, 50] y, float[batch, 8] score",
         [_spec("y", "float32", 50), _spec("score", "float32", 8)], [Selection({"score": 1}, "score")]),
        (f"{TOP} one = Unsqueeze (score, first) two = Concat <axis = 1> (one, one)", "float[batch, 2, 8] two, float[batch, 1, 8] one",
         [TensorSpec(name, "float32", (BATCH, Axis.fixed(n), Axis.fixed(8))) for name, n in (("two", 2), ("one", 1))],
         [Selection({"two": 2}, ""), Selection({"one": 2}, "one")]),
    ],
    ids=["values and indices", "indices as floats", "monotonic", "order reversed", "no axis of rows", "none", "not behind it",
         "other axes before"],
)  # fmt: skip
def test_outputs_behind_a_top_k(body: str, outputs: str, specs: list[TensorSpec], expected: list[Selection]) -> None:
    assert list(find_selections(_model(body, outputs), INPUTS, specs)) == expected


def test_an_output_whose_length_only_the_values_decide_has_rows_on_that_axis() -> None:
    model = _model("all = NonZero (x)\n places = Transpose (all)", "int64[found, 2] places")
    spec = TensorSpec("places", "int64", (Axis(1, 5, 100, "found"), Axis.fixed(2)))
    assert find_selections(model, INPUTS, [spec]) == (Selection({"places": 0}, ""),)


def test_the_batch_is_not_an_axis_of_rows() -> None:
    """A batch of 8 and a top 8: the rows are on the second axis."""
    model = _model(TOP, "float[8, 8] score, int64[8, 8] index")
    spec = TensorSpec("score", "float32", (Axis.fixed(8), Axis.fixed(8)))
    assert find_selections(model, INPUTS, [spec]) == (Selection({"score": 1}, "score"),)
