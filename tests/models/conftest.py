"""What a network's test does with it first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


@pytest.fixture
def settled() -> Callable[..., nn.Module]:
    """Makes a network FP64 and evaluates it with the statistics of one pass over an input of the given shape.

    Without them a deep network is dead: fresh weights shrink what passes, and every map ends in zeros or in biases.
    """

    def make(module: nn.Module, *shape: int) -> nn.Module:
        generator = torch.Generator().manual_seed(7)
        norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.momentum = 1.0
            nn.init.normal_(norm.bias, std=0.1, generator=generator)
        with torch.no_grad():
            module.double().train()(torch.randn(shape, dtype=torch.float64, generator=generator))
        return module.eval()

    return make
