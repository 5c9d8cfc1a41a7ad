"""ONNX files enter the pipeline: at opset 18 or later, with what TensorRT does not take raised to the domain."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import parser

from attnexport.export.capture.from_onnx import from_onnx
from attnexport.export.domain import DOMAIN
from attnexport.export.lower import lower
from attnexport.export.reference.onnx_model import OnnxOriginal
from attnexport.runtime.sessions.ort import OrtSession

X = np.random.default_rng(0).standard_normal((2, 3, 6, 7)).astype(np.float32)
GRID = np.random.default_rng(1).uniform(-1.2, 1.2, (2, 4, 5, 2)).astype(np.float32)


def text(body: str, opset: int, inputs: str, output: str) -> onnx.ModelProto:
    model = parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}]> g ({inputs}) => ({output}) {{ {body} }}'
    )
    onnx.checker.check_model(model)
    return model


def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    (value,) = OrtSession(model.SerializeToString()).run(feeds).values()
    return value


@pytest.mark.parametrize(
    ("opset", "mode", "ours"),
    [(16, "bilinear", "bilinear"), (16, "nearest", "nearest"), (20, "linear", "bilinear"), (20, "cubic", "bicubic")],
)
def test_grid_sample_of_either_spelling_is_raised_and_lowered_right(opset: int, mode: str, ours: str) -> None:
    model = text(
        f'y = GridSample <mode="{mode}", padding_mode="border", align_corners=1> (x, grid)',
        opset,
        "float[N,3,6,7] x, float[N,4,5,2] grid",
        "float[N,3,4,5] y",
    )
    captured = from_onnx(model)
    (node,) = captured.model.graph.node
    assert (node.domain, node.op_type) == (DOMAIN, "GridSample")
    assert captured.kept == {"GridSample": 1}
    lowered = lower(captured.model, ("ort", "tensorrt")).model
    spelled = [onnx.helper.get_attribute_value(a) for n in lowered.graph.node for a in n.attribute if a.name == "mode"]
    assert b"linear" not in spelled, "some TensorRT versions read the opset-20 spelling as nearest"
    truth = F.grid_sample(
        torch.from_numpy(X).double(),
        torch.from_numpy(GRID).double(),
        mode=ours,
        padding_mode="border",
        align_corners=True,
    ).numpy()
    got = run(lowered, {"x": X, "grid": GRID})
    tolerance = 1e-5
    close = np.isclose(got, truth, atol=tolerance)
    assert close.mean() > (0.95 if mode == "nearest" else 0.999)


@pytest.mark.parametrize("optional", ["", ", bias", ", , mask", ", bias, mask"], ids=str)
def test_deform_conv_is_raised_with_its_optional_inputs_in_place(optional: str) -> None:
    rng = np.random.default_rng(3)
    feeds = {
        "x": X,
        "weight": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "offset": rng.uniform(-2, 2, (2, 18, 6, 7)).astype(np.float32),
        "bias": rng.standard_normal(4).astype(np.float32),
        "mask": rng.random((2, 9, 6, 7)).astype(np.float32),
    }
    names = [name for name in feeds if name in ("x", "weight", "offset") or name in optional]
    declared = ", ".join(f"float[{','.join(map(str, feeds[name].shape))}] {name}" for name in names)
    attributes = "kernel_shape=[3,3], pads=[1,1,1,1]"
    model = text(f"y = DeformConv <{attributes}> (x, weight, offset{optional})", 19, declared, "float[2,4,6,7] y")
    captured = from_onnx(model)
    assert captured.kept == {"DeformConv": 1}
    lowered = lower(captured.model, ("ort", "tensorrt")).model
    assert "DeformConv" not in {node.op_type for node in lowered.graph.node}
    given = {name: feeds[name] for name in names}
    np.testing.assert_allclose(run(lowered, given), run(model, given), rtol=0, atol=1e-5)


def test_col2im_and_affine_grid_leave_no_such_operator_behind() -> None:
    block = "block = Constant <value = int64[2] {2, 3}> () size = Constant <value = int64[2] {6, 7}> ()"
    fold = text(
        f"{block} y = Col2Im <strides=[2,2], pads=[0,1,0,1]> (x, size, block)",
        18,
        "float[N,12,12] x",
        "float[N,2,6,7] y",
    )
    cols = np.random.default_rng(2).standard_normal((2, 12, 12)).astype(np.float32)
    lowered = lower(from_onnx(fold).model, ("ort", "tensorrt")).model
    assert "Col2Im" not in {n.op_type for n in lowered.graph.node}
    truth = F.fold(torch.from_numpy(cols), (6, 7), (2, 3), stride=2, padding=(0, 1)).numpy()
    np.testing.assert_allclose(run(lowered, {"x": cols}), truth, rtol=1e-5, atol=1e-5)

    affine = text(
        "size = Constant <value = int64[4] {2, 3, 6, 7}> () y = AffineGrid <align_corners=1> (theta, size)",
        20,
        "float[2,2,3] theta",
        "float[2,6,7,2] y",
    )
    theta = np.random.default_rng(3).standard_normal((2, 2, 3)).astype(np.float32)
    lowered = lower(from_onnx(affine).model, ("ort", "tensorrt")).model
    assert "AffineGrid" not in {n.op_type for n in lowered.graph.node}
    truth = F.affine_grid(torch.from_numpy(theta), [2, 3, 6, 7], align_corners=True).numpy()
    np.testing.assert_allclose(run(lowered, {"theta": theta}), truth, rtol=1e-5, atol=1e-6)


def test_an_older_opset_is_brought_up_and_keeps_its_meaning() -> None:
    model = text(
        "m = ReduceMean <axes=[2,3], keepdims=0> (x) y = Softmax <axis=1> (m)", 13, "float[N,3,6,7] x", "float[N,3] y"
    )
    before = run(model, {"x": X})
    captured = from_onnx(model)
    assert next(o.version for o in captured.model.opset_import if o.domain == "") == 18
    np.testing.assert_allclose(run(captured.model, {"x": X}), before, rtol=1e-6)
    assert next(o.version for o in model.opset_import) == 13, "what was handed in is not changed"


def test_names_are_unique_and_carry_the_exporters_module() -> None:
    model = text("a = Relu (x) b = Relu (a) y = Relu (b)", 18, "float[N,3] x", "float[N,3] y")
    for node, name in zip(model.graph.node, ("/layer1/act/Relu", "/layer1/act/Relu", ""), strict=True):
        node.name = name
    captured = from_onnx(model)
    assert [n.name for n in captured.model.graph.node] == ["/layer1/act/Relu", "/layer1/act/Relu_2", "root/Relu"]
    assert captured.origins["/layer1/act/Relu_2"].module == "layer1.act"


def test_a_name_that_numbering_would_give_is_not_given_twice() -> None:
    model = text("a = Relu (x) b = Neg (a) y = Exp (b)", 18, "float[N,3] x", "float[N,3] y")
    for node, name in zip(model.graph.node, ("node", "node", "node_2"), strict=True):
        node.name = name
    assert len({n.name for n in from_onnx(model).model.graph.node}) == 3


def test_attention_keeps_present_value_beside_present_key() -> None:
    shape = "float[1,2,3,4]"
    model = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 23]>
        net ({shape} q, {shape} k, {shape} v, {shape} pk, {shape} pv) => (float[1,2,6,4] y)
        {{ a, key, value = Attention (q, k, v, , pk, pv) y = Neg (key) }}""")
    captured = from_onnx(model).model
    feeds = {n: np.full((1, 2, 3, 4), i, np.float32) for i, n in enumerate(("q", "k", "v", "pk", "pv"))}
    (y,) = onnxruntime.InferenceSession(captured.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, feeds
    )
    np.testing.assert_array_equal(y[0, :, :, 0], [[-3, -3, -3, -1, -1, -1]] * 2)


def test_the_truth_of_a_graph_is_the_graph_in_fp64() -> None:
    model = text(
        "third = Constant <value_float = 0.333333> () d = Cast <to = 1> (x) "
        "s = ReduceSum <keepdims=0> (d) e = Exp (s) y = Mul (e, third)",
        18,
        "float[2,3] x",
        "float y",
    )
    x = np.array([[0.1, 0.2, 0.3], [-0.5, 1.5, 2.5]], np.float32)
    original = OnnxOriginal(model)
    truth = np.exp(x.astype(np.float64).sum()) * np.float64(np.float32(0.333333))
    results = {p: original.run({"x": x}, p)["y"] for p in ("float64", "float32", "float16")}
    assert results["float64"].dtype == np.float64
    np.testing.assert_allclose(results["float64"], truth, rtol=1e-15)
    errors = {p: abs(float(v) - truth) / truth for p, v in results.items()}
    assert errors["float64"] < 1e-14 < errors["float32"] < 1e-6 < errors["float16"] < 1e-2


def test_windows_that_are_not_proved_are_said() -> None:
    model = text(
        "index = Constant <value = int64[2, 3] {0, 1, 2, 1, 2, 3}> () y = Gather <axis=2> (x, index)",
        18,
        "float[N,3,6,7] x",
        "float[N,3,2,3,7] y",
    )
    model.graph.node[1].name = "windows"
    captured = from_onnx(model)
    assert captured.kept == {}
    assert captured.notes == ("windows of node 'windows' stay as they are: its windows are not known to fill the axis",)
    np.testing.assert_array_equal(run(captured.model, {"x": X}), X[:, :, [[0, 1, 2], [1, 2, 3]]])
