"""interpolate with antialias: torch's own weights as products, never Resize's attribute that TensorRT refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from attnexport.runtime.sessions.large_model import open_model


class Resized(nn.Module):
    def __init__(self, mode: str, **how: object) -> None:
        super().__init__()
        self.how = {"mode": mode, "antialias": True, **how}

    def forward(self, x):
        return F.interpolate(x, **self.how)


@pytest.mark.parametrize(
    "module",
    [
        Resized("bilinear", size=(5, 3)),
        Resized("bicubic", size=(13, 6), align_corners=True),
        Resized("bicubic", scale_factor=(0.7, 1.0)),
    ],
    ids=["down", "both ways, corners", "by a factor"],
)
def test_values_are_torchs(parity, module):
    assert parity(module, "x=2x3x9x8") < 1e-6


def test_no_resize_is_left(entered):
    graph = entered(Resized("bilinear", size=(5, 8)), "x=2x3x9x8").captured.model.graph
    assert [node.op_type for node in graph.node] == ["MatMul"]
    assert [list(tensor.dims) for tensor in graph.initializer] == [[5, 9]]


class Free(nn.Module):
    """Both axes resized by a function of the free height."""

    def __init__(self, how: Callable[[int], dict[str, object]]) -> None:
        super().__init__()
        self.how = how

    def forward(self, x):
        return F.interpolate(x, antialias=True, **self.how(x.shape[2]))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    "how",
    [
        lambda h: {"size": (h // 2, 5)},
        lambda h: {"size": (h * 2 + 1, h)},
        lambda h: {"size": (7, h // 2)},  # not to one column, where torch 2.13 is wrong (docs/upstream.md)
        lambda h: {"size": (h // 2, h * 3), "align_corners": True},
        lambda h: {"size": (h // 4, 13), "align_corners": True},
        lambda h: {"scale_factor": (0.6, 1.7), "recompute_scale_factor": False},
    ],
    ids=["half", "up", "to a number", "corners", "one pixel", "factors"],
)
def test_weights_of_free_sizes_are_computed_in_the_graph(entered, mode, how):
    module = Free(lambda h: {"mode": mode, **how(h)}).eval()
    model = entered(module, "x=2x3x9x8", dynamic=("x:0=1:2:4", "x:2=4:9:16")).captured.model
    assert not {"Resize", "Loop"} & {node.op_type for node in model.graph.node}
    session = open_model(model)
    for height in (4, 5, 11, 16):
        x = torch.randn(2, 3, height, 8)
        (got,) = session.run({"x": x.numpy()}).values()
        truth = module(x.double())
        own = (module(x).double() - truth).square().mean().sqrt()
        error = (torch.from_numpy(got).double() - truth).square().mean().sqrt()
        assert got.shape == truth.shape and error < max(2 * own, 1e-7)
