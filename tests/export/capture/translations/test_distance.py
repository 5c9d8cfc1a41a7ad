"""torch.cdist: distances as they are defined, also of points that are close."""

from __future__ import annotations

import pytest
import torch
from torch import nn


class Distances(nn.Module):
    def __init__(self, p: float, scale: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.p, self.scale, self.offset = p, scale, offset

    def forward(self, x, y):
        return torch.cdist(x * self.scale + self.offset, y * self.scale + self.offset, p=self.p)


@pytest.mark.parametrize("p", [2.0, 1.0, float("inf"), 3.0, 0.0])
@pytest.mark.parametrize(
    "shapes", [("x=2x5x3", "y=2x4x3"), ("x=2x1x30x3", "y=2x4x28x3")], ids=["few", "many, broadcast"]
)
def test_values_are_torchs(parity, p, shapes):
    assert parity(Distances(p), *shapes) < 1e-6


def test_close_points_far_from_the_origin_keep_their_distance(parity):
    assert parity(Distances(2.0, scale=2.0**-6, offset=64.0), "x=2x30x3", "y=2x30x3") < 2e-3


def test_attention_by_distance_with_free_rows(parity):
    class ByDistance(nn.Module):
        def forward(self, x):
            return (-torch.cdist(x, x)).softmax(-1) @ x

    assert parity(ByDistance(), "x=2x6x4", dynamic=("x:0=1:2:4", "x:1=2:6:40")) < 1e-5
