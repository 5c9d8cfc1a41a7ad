"""Lengths that no tensor of the graph tells: what was proved is left, with a reason, and nothing breaks."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from attnexport.export import domain
from attnexport.export.recognise import recognise

WINDOW = {"kernel": [3, 3], "dilation": [1, 1], "pads": [1] * 4, "stride": [1, 1]}


def cost_volume(names: list[str | None]) -> onnx.ModelProto:
    """q (N, C, 1, L) times the windows of x (N, C, H, W), summed over C, for inputs with these names for free axes."""
    n, c, length, h, w = names
    nodes = [
        helper.make_node("Im2Col", ["x"], ["w"], name="w", domain=domain.DOMAIN, **WINDOW),
        helper.make_node("Reshape", ["w", "split"], ["s"], name="s"),
        helper.make_node("Mul", ["q", "s"], ["m"], name="m"),
        helper.make_node("ReduceSum", ["m", "one"], ["y"], name="y", keepdims=0),
    ]
    split, one = np.array([0, 4, 9, -1]), np.array([1])
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [n, 4, h, w]),
            helper.make_tensor_value_info("q", onnx.TensorProto.FLOAT, [n, c, 1, length]),
        ],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(v, k) for k, v in (("split", split), ("one", one))],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(domain.DOMAIN, domain.VERSION)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


@pytest.mark.parametrize("names", [["n", 4, 30, 5, 6], ["n", 4, "h*w", "h", "w"]])
def test_lengths_that_are_told(names) -> None:
    result = recognise(cost_volume(names))
    assert [entry.description for entry in result.found] == ["LocalCorrelation 3x3, 1 head of 4"]
    assert result.refused == []


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["n", 4, "positions", "h", "w"], "an axis of h*w meets one of positions"),
        (["n", None, 30, 5, 6], "an axis of 4 meets one of q[1]"),
    ],
)
def test_lengths_that_are_not(names, reason) -> None:
    model = cost_volume(names)
    result = recognise(model)
    assert result.model is model
    assert [(entry.node, entry.reason) for entry in result.refused] == [("w", f"Mul 'm': {reason}")]
