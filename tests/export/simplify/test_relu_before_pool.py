"""A ReLU moves in front of the pool if nothing else reads the values between; results stay the same to the bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

from attnexport.export.simplify.relu_before_pool import relu_before_pool

GRAPH = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N, 3, 9, 9] x) => ({outputs}) <float[4, 3, 3, 3] w = {{{weights}}}, float[3, 4, 3, 3] v = {{{weights}}},
  bool yes = {{1}}> {{ {body} }}"""
Y = "float[N, 4, H, W] y"
RNG = np.random.default_rng(0)
WEIGHTS = ", ".join(f"{value:.4f}" for value in RNG.standard_normal(108))


def build(body: str, outputs: str = Y) -> onnx.ModelProto:
    model = parser.parse_model(GRAPH.format(body=body, outputs=outputs, weights=WEIGHTS))
    for number, node in enumerate(model.graph.node):
        node.name = f"n{number}"
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model)


def results(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def same(one: onnx.ModelProto, other: onnx.ModelProto) -> None:
    x = RNG.standard_normal((2, 3, 9, 9)).astype(np.float32)
    for mine, theirs in zip(results(one, x), results(other, x), strict=True):
        np.testing.assert_array_equal(mine, theirs)


MOVED = {
    "a pool of two": "a = Conv(x, w)  b = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(a)  y = Relu(b)",
    "padding": "a = Conv(x, w)  b = MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1], strides = [2, 2]>(a)  y = Relu(b)",
    "ceil mode and dilation": "a = Conv(x, w)  b = MaxPool<kernel_shape = [2, 2], dilations = [2, 2], strides = [2, 2], "
    "ceil_mode = 1>(a)  y = Relu(b)",
    "a transposed convolution": "a = ConvTranspose(x, v)  b = MaxPool<kernel_shape = [2, 2]>(a)  y = Relu(b)",
    "one after the other": "a = Conv(x, w)  b = MaxPool<kernel_shape = [2, 2]>(a)  c = Relu(b)  d = Conv(c, v)  "
    "e = MaxPool<kernel_shape = [2, 2]>(d)  f = Relu(e)  y = Conv(f, w)",
}


@pytest.mark.parametrize("body", MOVED.values(), ids=MOVED)
def test_relu_follows_its_layer(body: str) -> None:
    model = build(body)
    before = model.SerializeToString()
    result = relu_before_pool(model)
    moved = result.model
    assert [entry.node for entry in result.applied] == [n.name for n in model.graph.node if n.op_type == "Relu"]
    assert result.refused == ()
    assert model.SerializeToString() == before
    producers = {output: node for node in moved.graph.node for output in node.output}
    relus = [node for node in moved.graph.node if node.op_type == "Relu"]
    assert relus and all(producers[node.input[0]].op_type in ("Conv", "ConvTranspose") for node in relus)
    assert sorted(node.name for node in moved.graph.node) == sorted(node.name for node in model.graph.node)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(moved, strict_mode=True), full_check=True)
    same(model, moved)


READ = ["another node or an output reads a value between the layer and the ReLU"]
INDICES = ["its pool returns indices, which refer to the map before the ReLU"]
STAYS: dict[str, tuple[Callable[[], onnx.ModelProto], list[str]]] = {
    "the map before the pool is read as well": (
        lambda: build("a = Conv(x, w)  b = MaxPool<kernel_shape = [1, 1]>(a)  c = Relu(b)  y = Add(a, c)"),
        READ,
    ),
    "the pool's result is read as well": (
        lambda: build("a = Conv(x, w)  b = MaxPool<kernel_shape = [2, 2]>(a)  c = Relu(b)  y = Add(b, c)"),
        READ,
    ),
    "the pool's result is an output": (
        lambda: build(
            "a = Conv(x, w)  b = MaxPool<kernel_shape = [2, 2]>(a)  y = Relu(b)", f"{Y}, float[N, 4, H, W] b"
        ),
        READ,
    ),
    "the pool gives indices": (
        lambda: build(
            "a = Conv(x, w)  b, i = MaxPool<kernel_shape = [2, 2]>(a)  y = Relu(b)", f"{Y}, int64[N, 4, H, W] i"
        ),
        INDICES,
    ),
    "no layer to take it": (lambda: build("b = MaxPool<kernel_shape = [2, 2]>(x)  c = Relu(b)  y = Conv(c, w)"), []),
    "a branch reads the map before the pool": (
        lambda: build(
            "a = Conv(x, w)  b = MaxPool<kernel_shape = [1, 1]>(a)  c = Relu(b)  "
            "d = If (yes) <then_branch = t () => (float[N, 4, H, W] p) { p = Neg(a) }, "
            "else_branch = e () => (float[N, 4, H, W] q) { q = Abs(a) }>  y = Add(c, d)"
        ),
        READ,
    ),
}


@pytest.mark.parametrize(("make", "reasons"), STAYS.values(), ids=STAYS)
def test_a_relu_stays_if_another_node_reads_a_value_between(
    make: Callable[[], onnx.ModelProto], reasons: list[str]
) -> None:
    model = make()
    result = relu_before_pool(model)
    kept = result.model
    assert (result.applied, [entry.reason for entry in result.refused]) == ((), reasons)
    assert [(n.name, n.op_type, list(n.input), list(n.output)) for n in kept.graph.node] == [
        (n.name, n.op_type, list(n.input), list(n.output)) for n in model.graph.node
    ]
    same(model, kept)
