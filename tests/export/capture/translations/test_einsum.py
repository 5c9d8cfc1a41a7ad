"""torch.einsum promotes its operands; the graph's Einsum gets one type."""

from __future__ import annotations

import torch
from torch import nn


class Turns(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rates", torch.rand(3, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        turns = torch.einsum("i,j->ij", torch.arange(x.shape[1]), self.rates)
        return x * turns.sin()


def test_types_are_promoted_as_torch_does(parity):
    assert parity(Turns(), "x=2x4x3") < 1e-6
