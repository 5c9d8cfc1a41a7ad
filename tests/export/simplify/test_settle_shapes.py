"""Computed sizes of views with a free batch become constants, and attention behind them is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from torch import Tensor, nn

from attnexport.export.capture.from_onnx import from_onnx
from attnexport.export.graph.rewrites import Refusal
from attnexport.export.lower import lower
from attnexport.export.simplify.settle_shapes import settle_shapes
from attnexport.export.stages.rewrite import find_windows
from attnexport.export.targets import target_names


class Attention(nn.Module):
    """Two heads, 3 x 3, relative rows and columns, with views of computed sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(2, 2, 3, 1))
        self.columns = nn.Parameter(torch.randn(2, 2, 1, 3))
        self.query, self.key, self.value = (nn.Conv2d(8, 8, 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 8, 6, 5) -> (N, 8, 6, 5)."""
        n, c, h, w = x.shape
        relative = torch.cat((self.rows.expand(2, 2, 3, 3), self.columns.expand(2, 2, 3, 3)), 1).reshape(2, 4, 9, 1)
        key = nn.functional.unfold(self.key(x), 3, padding=1).view(n, 2, 4, 9, -1) + relative
        value = nn.functional.unfold(self.value(x), 3, padding=1).view(n, 2, 4, 9, -1)
        weights = (self.query(x).view(n, 2, 4, 1, -1) * key).sum(2, keepdim=True).softmax(3)
        return (weights * value).sum(3).flatten(1, 2).view(n, c, h, w)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[nn.Module, onnx.ModelProto]:
    torch.manual_seed(0)
    module, path = Attention().eval(), tmp_path_factory.mktemp("ts") / "attention.onnx"
    torch.onnx.export(
        module, (torch.randn(2, 8, 6, 5),), path, dynamo=False, opset_version=17,
        input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
    )  # fmt: skip
    return module, onnx.load(path)


def test_attention_of_the_torchscript_exporter_is_found_with_a_free_batch(exported) -> None:
    module, model = exported
    captured = from_onnx(model)
    targets = [node.input[1] for node in captured.model.graph.node if node.op_type == "Reshape"]
    constants = {entry.name for entry in captured.model.graph.initializer}
    assert targets and set(targets) <= constants
    recognised = find_windows(captured.model)
    assert [entry.description for entry in recognised.found] == ["LocalAttention 3x3, 2 heads of 4, with relative"]
    session = onnxruntime.InferenceSession(
        lower(recognised.model, target_names()).model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = torch.randn(5, 8, 6, 5)
    with torch.no_grad():
        reference = module.double()(x.double()).numpy()
        module.float()
    np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], reference, rtol=0, atol=2e-6)


def reshape_model(pieces: list[str], allowzero: int = 0) -> onnx.ModelProto:
    """Reshape of x by a Concat of pieces: a number, ``x0`` (length of x's axis 0) or ``y1`` (of y's axis 1)."""
    nodes, names, constants = [], [], []
    for position, piece in enumerate(pieces):
        if piece.lstrip("-").isdigit():
            constants.append(helper.make_tensor(f"c{position}", 7, [1], [int(piece)]))
            names.append(f"c{position}")
            continue
        tensor, axis = piece[0], int(piece[1])
        nodes.append(helper.make_node("Shape", [tensor], [f"s{position}"], start=axis, end=axis + 1))
        names.append(f"s{position}")
    nodes.append(helper.make_node("Concat", names, ["target"], axis=0))
    nodes.append(helper.make_node("Reshape", ["x", "target"], ["z"], name="view", allowzero=allowzero))
    graph = helper.make_graph(
        nodes,
        "graph",
        [
            helper.make_tensor_value_info("x", 1, ["batch", 6, 4]),
            helper.make_tensor_value_info("y", 1, ["batch", "other"]),
        ],
        [helper.make_tensor_value_info("z", 1, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize(
    ("pieces", "settled"),
    [
        (["x0", "2", "3", "4"], [0, 2, 3, 4]),
        (["x0", "2", "-1"], [0, 2, -1]),
        (["y0", "24"], [0, 24]),  # the same symbol
        (["24", "x0"], [24, -1]),  # at another place: what remains
        (["y1", "2", "-1"], None),  # another symbol, and a -1 is there
        (["y1", "x0", "-1"], None),
        (["x0", "0", "4"], None),  # a 0 says itself that it copies
        (["6", "4", "-1"], [6, 4, -1]),
        (["-1", "2", "3", "4"], [0, 2, 3, 4]),  # what remains is the free axis, in its place
        (["-1", "12"], [-1, 12]),  # twice the free axis
    ],
    ids=str,
)
@pytest.mark.parametrize("allowzero", [0, 1])
def test_sizes_that_are_known_become_constants(pieces, settled, allowzero) -> None:
    simplified = settle_shapes(reshape_model(pieces, allowzero))
    result = simplified.model
    (reshape,) = (node for node in result.graph.node if node.op_type == "Reshape")
    constants = {entry.name: onnx.numpy_helper.to_array(entry) for entry in result.graph.initializer}
    if settled is None:
        assert reshape.input[1] == "target"
        zero = "a 0 among its sizes copies an axis already"
        free = "two of its sizes are neither numbers nor the length of the same axis"
        assert simplified.refused == (Refusal("settle_shapes", "view", zero if "0" in pieces else free),)
    else:
        np.testing.assert_array_equal(constants[reshape.input[1]], settled)
        assert simplified.refused == ()
        assert 0 not in settled or not any(entry.name == "allowzero" and entry.i for entry in reshape.attribute)
        assert not any(node.op_type in ("Shape", "Concat") for node in result.graph.node)


def test_the_source_model_is_not_changed(exported, tmp_path: Path) -> None:
    model = reshape_model(["x0", "24"])
    before = model.SerializeToString()
    settle_shapes(model)
    assert model.SerializeToString() == before
