"""What a network's test does with it first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture
def drawn() -> Callable[[nn.Module], nn.Module]:
    """Makes a network FP64, in evaluation, and draws its running statistics, so that a batch normalisation shows."""

    def make(module: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(7)
        for name, statistic in module.double().eval().named_buffers():
            if name.endswith(("running_mean", "running_var")):
                statistic.copy_(0.5 + torch.rand(statistic.shape, generator=generator, dtype=torch.float64))
        return module

    return make
