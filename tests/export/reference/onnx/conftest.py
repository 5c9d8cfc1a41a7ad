"""What these tests share: a node evaluated in FP64 by the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from attnexport.export.reference.onnx_model import OnnxOriginal

Evaluate = Callable[..., list[Any]]


def model_of(
    op: str, inputs: Sequence[np.ndarray | None], opset: int, outputs: int, domain: str, attributes: dict[str, Any]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    names = ["" if value is None else f"x{n}" for n, value in enumerate(inputs)]
    feeds = {name: np.asarray(value) for name, value in zip(names, inputs, strict=True) if value is not None}
    node = helper.make_node(op, names, [f"y{n}" for n in range(outputs)], "node", domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "one_node",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()],
        [onnx.ValueInfoProto(name=name) for name in node.output],
    )
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=10), feeds


@pytest.fixture
def evaluate() -> Evaluate:
    """The outputs of one node in FP64; float inputs are given in FP32, as files have them."""

    def run(
        op: str, *inputs: np.ndarray | None, opset: int = 21, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> list[Any]:
        model, feeds = model_of(op, inputs, opset, outputs, domain, attributes)
        return list(OnnxOriginal(model).run(feeds, "float64").values())

    return run


@pytest.fixture
def draw() -> Callable[..., np.ndarray]:
    """FP32 normal numbers of a shape."""
    rng = np.random.default_rng(7)
    return lambda *shape: rng.standard_normal(shape).astype(np.float32)
