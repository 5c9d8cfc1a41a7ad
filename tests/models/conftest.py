"""What a network's test does with it first."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


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


@pytest.fixture
def calibrated() -> Callable[[nn.Module, Tensor], nn.Module]:
    """Makes a network FP64, in evaluation, with the running statistics of ``x``: a deep one stays alive down to its end.

    Statistics that are merely drawn shift a deep network's maps below zero, where its ReLUs hide everything.
    """

    def make(module: nn.Module, x: Tensor) -> nn.Module:
        module = module.double().train()
        norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            module(x)
        return module.eval()

    return make
