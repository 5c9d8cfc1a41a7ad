from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from attnexport.export.engine import Flavour, find_flavour
from attnexport.export.graph.origin import Origin
from attnexport.runtime.spec import Axis, TensorSpec


class Heard:
    """A reporter that keeps all it hears."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.fractions: list[float] = []
        self.phases: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, done: float, text: str) -> None:
        self.fractions.append(done)
        self.phases.append(text)


@pytest.fixture
def reporter() -> Heard:
    return Heard()


@pytest.fixture(scope="session")
def rtx() -> Flavour:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'attnexport[rtx]'")
    return find_flavour("rtx")


@pytest.fixture(scope="session")
def onnx_model() -> Callable[..., onnx.ModelProto]:
    """A model from ONNX's text form: ``(graph text, opset, functions)``. ``__`` in a node's name stands for ``/``."""

    def make(graph: str, opset: int = 18, functions: str = "") -> onnx.ModelProto:
        head = f'<ir_version: 10, opset_import: ["" : {opset}, "attnexport": 1]>'
        model = onnx.parser.parse_model(f"{head} {graph} {functions}")
        for node in model.graph.node:
            node.name = node.name.replace("__", "/")
        return model

    return make


@pytest.fixture(scope="session")
def mixed(onnx_model: Callable[..., onnx.ModelProto]) -> onnx.ModelProto:
    """A convolution in FP16 and a softmax in FP32, dynamic in batch, height and width."""
    model = onnx_model("""
        net (float[N,3,H,W] x) => (float[N,8,H,W] y) {
          [stem__to_half] h = Cast<to=10>(x)
          [stem__conv] c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(h, w)
          [gate__to_float] f = Cast<to=1>(c)
          [gate__softmax] s = Softmax<axis=1>(f)
          [gate__sigmoid] y = Sigmoid(s)
        }""")
    weight = np.linspace(-1, 1, 8 * 3 * 9).reshape(8, 3, 3, 3).astype(np.float16)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return model


@pytest.fixture(scope="session")
def image() -> TensorSpec:
    """The input of ``mixed``."""
    return TensorSpec("x", "float32", (Axis(1, 2, 4, "N"), Axis.fixed(3), Axis(8, 16, 32, "H"), Axis(8, 16, 32, "W")))


@pytest.fixture(scope="session")
def origins() -> dict[str, Origin]:
    return {
        "stem": Origin("stem", "Conv2d", "net.py:10"),
        "gate": Origin("layer1.gate", "SpatialGate", "models/attention/cbam.py:41"),
    }
