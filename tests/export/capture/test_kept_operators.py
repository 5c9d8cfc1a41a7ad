"""Each operator that torch.onnx takes apart is captured as one node of the attnexport domain, and means what torch means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import helper
from torch import nn

from attnexport.export.capture.to_onnx import to_onnx
from attnexport.export.capture.tracing.trace import export_program
from attnexport.export.domain import DOMAIN, add_bodies
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 2, 8, "batch")
HIGH = Axis(6, 8, 20, "high")
WIDE = Axis(6, 9, 20, "wide")
IMAGE = (TensorSpec("x", "float32", (BATCH, Axis.fixed(3), HIGH, WIDE)),)


class Step(nn.Module):
    """One function of the image as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def _theta(x: torch.Tensor, rows: int) -> torch.Tensor:
    """A transform that depends on the data: rows x (rows + 1) per sample."""
    return x.mean((2, 3))[:, :1].tanh().reshape(-1, 1, 1).expand(-1, rows, rows + 1) + torch.eye(rows, rows + 1).to(x)


def _affine_2d(x: torch.Tensor) -> torch.Tensor:
    return F.affine_grid(_theta(x, 2), [x.shape[0], 3, x.shape[2], x.shape[3]], align_corners=False)


def _affine_3d(x: torch.Tensor) -> torch.Tensor:
    return F.affine_grid(_theta(x, 3), [x.shape[0], 3, 4, x.shape[2], x.shape[3]], align_corners=True)


@dataclass(frozen=True)
class Kept:
    function: Callable[[torch.Tensor], torch.Tensor]
    nodes: list[str]
    attributes: dict[str, object]


CASES = {
    "unfold": Kept(
        lambda x: F.unfold(x, (3, 5), dilation=(1, 2), padding=(1, 4), stride=(2, 1)),
        ["Im2Col"],
        {"kernel": [3, 5], "dilation": [1, 2], "pads": [1, 4, 1, 4], "stride": [2, 1]},
    ),
    "unfold of an unbatched image": Kept(lambda x: F.unfold(x[0], 3), ["Im2Col"], {"kernel": [3, 3]}),
    "Tensor.unfold": Kept(lambda x: x.unfold(-2, 4, 3), ["Unfold"], {"axis": 2, "size": 4, "step": 3}),
    "fold": Kept(
        lambda x: F.fold(F.unfold(x, 3, padding=1), (x.shape[2], x.shape[3]), 3, padding=1),
        ["Im2Col", "Col2Im"],
        {"kernel": [3, 3], "pads": [1, 1, 1, 1]},
    ),
    "affine_grid": Kept(_affine_2d, ["AffineGrid"], {"align_corners": 0}),
    "affine_grid 3-D": Kept(_affine_3d, ["AffineGrid"], {"align_corners": 1}),
    "grid_sample": Kept(
        lambda x: F.grid_sample(x, _affine_2d(x), mode="bicubic", padding_mode="reflection", align_corners=True),
        ["AffineGrid", "GridSample"],
        {"mode": b"bicubic", "padding_mode": b"reflection", "align_corners": 1},
    ),
    "grid_sample 3-D": Kept(
        lambda x: F.grid_sample(
            x[:, :, None].repeat(1, 1, 4, 1, 1), _affine_3d(x), padding_mode="border", align_corners=False
        ),
        ["AffineGrid", "GridSample3d"],
        {"mode": b"bilinear", "padding_mode": b"border", "align_corners": 0},
    ),
    "roll of two axes": Kept(lambda x: torch.roll(x, (1, -2), (2, -1)), ["Roll", "Roll"], {"axis": 3}),
    "roll of the flattened tensor": Kept(lambda x: torch.roll(x, 5), ["Roll"], {"axis": 0}),
    "adaptive average": Kept(lambda x: F.adaptive_avg_pool2d(x, (5, 7)), ["AdaptiveAverage"] * 2, {"axis": 3}),
    "adaptive average of one axis": Kept(
        lambda x: F.adaptive_avg_pool2d(x, (None, 4)), ["AdaptiveAverage"] * 2, {"axis": 3}
    ),
    "adaptive average of lines": Kept(
        lambda x: F.adaptive_avg_pool1d(x.flatten(2), 5), ["AdaptiveAverage"], {"axis": 2}
    ),
    "adaptive average of a volume": Kept(
        lambda x: F.adaptive_avg_pool3d(x[:, None], (2, 5, 7)).flatten(1, 2), ["AdaptiveAverage"] * 3, {"axis": 4}
    ),
    "adaptive average of an unbatched image": Kept(
        lambda x: F.adaptive_avg_pool2d(x[0], (5, 7)), ["AdaptiveAverage"] * 2, {"axis": 2}
    ),
    "adaptive maximum": Kept(lambda x: F.adaptive_max_pool2d(x, (5, 7)), ["AdaptiveMax"] * 2, {"axis": 3}),
    "adaptive maximum of lines": Kept(lambda x: F.adaptive_max_pool1d(x.flatten(2), 5), ["AdaptiveMax"], {"axis": 2}),
    "adaptive maximum of a volume": Kept(
        lambda x: F.adaptive_max_pool3d(x[:, None], (2, 5, 7)).flatten(1, 2), ["AdaptiveMax"] * 3, {"axis": 4}
    ),
    "roll by half a free axis": Kept(lambda x: torch.roll(x, x.shape[2] // 2, 2), ["Roll"], {"axis": 2}),
}


@pytest.mark.parametrize("kept", CASES.values(), ids=CASES.keys())
def test_an_operator_stays_one_node_and_its_portable_body_computes_what_torch_computes(kept: Kept) -> None:
    module = Step(kept.function).eval()
    captured = to_onnx(export_program(module, IMAGE, [torch.randn(2, 3, 8, 9)]), IMAGE, ["y"])
    ours = [node for node in captured.model.graph.node if node.domain == DOMAIN]
    assert [node.op_type for node in ours] == kept.nodes
    attributes = {a.name: helper.get_attribute_value(a) for a in ours[-1].attribute}
    assert {name: attributes[name] for name in kept.attributes} == kept.attributes

    session = OrtSession(add_bodies(captured.model).SerializeToString())
    for shape in ((2, 3, 8, 9), (1, 3, 6, 20), (5, 3, 13, 7)):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
        truth = module(x.double()).numpy()
        got = session.run({"x": x.numpy()})["y"]
        assert got.shape == truth.shape
        np.testing.assert_allclose(got, truth, rtol=1e-4, atol=2e-5)


def test_free_axes_carry_the_names_of_the_specs_through_the_graph() -> None:
    captured = to_onnx(
        export_program(Step(lambda x: F.unfold(x, 3, padding=1)).eval(), IMAGE, [torch.randn(2, 3, 8, 9)]), IMAGE, ["y"]
    )
    (given,), (made,) = captured.model.graph.input, captured.model.graph.output
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["batch", 3, "high", "wide"]
    dims = [d.dim_param or d.dim_value for d in made.type.tensor_type.shape.dim]
    assert dims[:2] == ["batch", 27]
    assert set(str(dims[2]).replace("*", " ").split()) == {"high", "wide"}


def test_two_inputs_of_one_symbol_share_it() -> None:
    class Add(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a * 2 + b.sum(1, keepdim=True)

    specs = tuple(TensorSpec(n, "float32", (BATCH, Axis.fixed(4))) for n in "ab")
    captured = to_onnx(export_program(Add().eval(), specs, [torch.randn(2, 4)] * 2), specs, ["y"])
    for value in (*captured.model.graph.input, *captured.model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_the_original_module_is_not_touched_by_tracing() -> None:
    module = Step(_affine_2d).eval()
    before = module(torch.ones(2, 3, 6, 7))
    function = F.affine_grid
    export_program(module, IMAGE, [torch.randn(2, 3, 8, 9)])
    assert F.affine_grid is function
    torch.testing.assert_close(module(torch.ones(2, 3, 6, 7)), before, rtol=0, atol=0)
