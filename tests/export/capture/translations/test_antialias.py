"""interpolate with antialias: torch's own weights as products, never Resize's attribute that TensorRT refuses."""

from __future__ import annotations

import pytest
import torch.nn.functional as F
from torch import nn

from attnexport.errors import UnsupportedModelError


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


def test_free_sizes_are_refused_with_the_reason(entered):
    class Half(nn.Module):
        def forward(self, x):
            return F.interpolate(x, size=(x.shape[2] // 2, 4), mode="bilinear", antialias=True)

    with pytest.raises(UnsupportedModelError, match="antialias=True resizes an axis of free length"):
        entered(Half(), "x=2x3x9x8", dynamic=("x:0=1:2:4", "x:2=4:9:16"))
