"""A small network with a layer of each kind, its layers and calibration inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.quantise.layers import Layer, find_layers
from attnexport.runtime.sessions.ort import OrtSession

TEXT = """net (float[N, 3, 8, 8] x) => (float[N, 5] y, float[N, 4, 6] z) {
    c = Conv <pads=[1, 1, 1, 1]> (x, cw, cb)
    r = Relu(c)
    d = Conv <group=6> (r, dw)
    p = ReduceMean <keepdims=0> (d, axes)
    g = Gemm <transB=1> (p, gw, gb)
    h = Relu(g)
    y = Gemm (h, hw)
    t = Reshape(r, split)
    s = Slice(t, zero, four, one)
    z = MatMul(s, mw)
}"""


def weights() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3).standard_normal
    return {
        "cw": draw((6, 3, 3, 3)).astype("f4"),
        "cb": draw(6).astype("f4"),
        "dw": draw((6, 1, 1, 1)).astype("f4"),
        "axes": np.array([2, 3]),
        "gw": draw((7, 6)).astype("f4"),
        "gb": draw(7).astype("f4"),
        "hw": draw((7, 5)).astype("f4"),
        "mw": draw((64, 6)).astype("f4"),
        "split": np.array([0, 6, 64]),
        "zero": np.array([0, 0, 0]),
        "four": np.array([99, 4, 64]),
        "one": np.array([0, 1, 2]),
    }


def build(text: str, constants: Mapping[str, np.ndarray], opset: int = 19) -> ModelProto:
    """A checked model; a node is named as its first output."""
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]> {text}')
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
    for node in model.graph.node:
        node.name = node.name or node.output[0]
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def made() -> Callable[..., ModelProto]:
    return build


@pytest.fixture
def index() -> GraphIndex:
    return GraphIndex(normalise(build(TEXT, weights())))


@pytest.fixture
def layers(index: GraphIndex) -> list[Layer]:
    return find_layers(index, {})[0]


@pytest.fixture
def feeds() -> list[dict[str, np.ndarray]]:
    draw = np.random.default_rng(5).standard_normal
    return [{"x": draw((4, 3, 8, 8)).astype("f4")} for _ in range(6)]


@pytest.fixture
def run() -> Callable[..., dict[str, np.ndarray]]:
    """A model as it is written, on ONNX Runtime."""

    def ran(model: ModelProto, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return OrtSession(model.SerializeToString(), optimize=False).run(feed)

    return ran


@pytest.fixture
def tapped() -> Callable[[ModelProto, list[str]], ModelProto]:
    """The model with further float outputs."""

    def more(model: ModelProto, names: list[str]) -> ModelProto:
        copy = ModelProto()
        copy.CopyFrom(model)
        copy.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in names)
        return copy

    return more
