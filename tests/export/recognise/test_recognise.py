"""The stage as a whole: its cost, and the graphs that it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import helper

from attnexport.export.domain import DOMAIN, VERSION
from attnexport.export.recognise import recognise


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray] | None = None) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4, 6, 6])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def chain(count: int, first: str) -> list[onnx.NodeProto]:
    ends = [first, *(f"v{i}" for i in range(count - 1)), "y"]
    return [helper.make_node("Relu", [a], [b], name=b) for a, b in pairwise(ends)]


def test_a_graph_without_windows_is_returned_before_shapes_are_inferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("attnexport.export.recognise.inferred")
    model = model_of(chain(100, "x"))
    result = recognise(model)
    assert result.model is model
    assert (result.found, result.refused) == ([], [])


def test_the_cost_of_windows_grows_with_the_number_of_nodes(count_calls: Callable[..., tuple[int, Any]]) -> None:
    window = {"kernel": [3, 3], "dilation": [1, 1], "pads": [1] * 4, "stride": [1, 1]}
    costs = []
    for nodes in (500, 2000):
        im2col = helper.make_node("Im2Col", ["x"], ["w"], name="w", domain=DOMAIN, **window)
        calls, result = count_calls(recognise, model_of([im2col, *chain(nodes, "w")]))
        costs.append(calls)
        assert [(entry.node, entry.reason) for entry in result.refused] == [
            ("w", "Relu 'v0' uses them in a way that is not a local product")
        ]
    assert costs[1] < 4.5 * costs[0]


def test_patches_that_do_not_overlap_need_no_reason() -> None:
    window = {"kernel": [2, 2], "dilation": [1, 1], "pads": [0] * 4, "stride": [2, 2]}
    result = recognise(model_of([helper.make_node("Im2Col", ["x"], ["y"], name="w", domain=DOMAIN, **window)]))
    assert (result.found, result.refused) == ([], [])


def test_windows_of_a_constant_become_a_constant() -> None:
    window = {"kernel": [3, 3], "dilation": [1, 1], "pads": [1] * 4, "stride": [1, 1]}
    nodes = [
        helper.make_node("Im2Col", ["ones"], ["inside"], name="inside", domain=DOMAIN, **window),
        helper.make_node("Im2Col", ["x"], ["w"], name="w", domain=DOMAIN, **window),
        helper.make_node("Reshape", ["w", "split"], ["s"], name="s"),
        helper.make_node("Mul", ["s", "inside"], ["m"], name="m"),
        helper.make_node("ReduceSum", ["m", "window"], ["y"], name="y"),
    ]
    constants = {
        "ones": np.ones((1, 1, 6, 6), np.float32),
        "split": np.array([0, 4, 9, 36]),
        "window": np.array([2]),
    }
    result = recognise(model_of(nodes, constants))
    assert [entry.operator for entry in result.found] == ["LocalAggregate"]
    assert not any(node.op_type == "Im2Col" for node in result.model.graph.node)


def test_two_layers_in_one_graph(see) -> None:
    def layer(x, q, k, v):
        b, c, h, w = x.shape
        for query in (q, q + 1):
            kw, vw = (F.unfold(t, 3, padding=1).view(b, c, 9, h * w) for t in (k, v))
            k = ((query.reshape(b, c, 1, h * w) * kw).sum(1, keepdim=True).softmax(2) * vw).sum(2).view(b, c, h, w)
        return torch.relu(k)

    assert see(layer, dynamic=True).operators == ["LocalAttention", "LocalAttention"]
