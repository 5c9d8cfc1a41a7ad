"""What every mechanism's test does with a module: FP64 weights that nothing initialised to zero, gradients, export."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def randomised() -> Callable[[nn.Module], nn.Module]:
    """Makes a module FP64 and draws its parameters and running statistics anew, so that no zero hides a term of a formula."""

    def make(module: nn.Module) -> nn.Module:
        generator = torch.Generator().manual_seed(7)
        module = module.double().eval()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
            for name, statistic in module.named_buffers():
                if name.endswith(("running_mean", "running_var")):
                    statistic.copy_(0.5 + torch.rand(statistic.shape, generator=generator, dtype=torch.float64))
        return module

    return make


@pytest.fixture
def draw() -> Callable[..., Tensor]:
    """Draws an FP64 tensor of the given shape, always the same."""

    def make(*shape: int) -> Tensor:
        return torch.from_numpy(np.random.default_rng(11).normal(size=shape))

    return make


@pytest.fixture
def gradcheck() -> Callable[[nn.Module, Tensor], bool]:
    """Holds the gradients with respect to the input and to every parameter to finite differences."""

    def check(module: nn.Module, x: Tensor) -> bool:
        names = [name for name, _ in module.named_parameters()]

        def call(x: Tensor, *parameters: Tensor) -> Tensor:
            return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

        parameters = [p.detach().clone().requires_grad_() for p in module.parameters()]
        return bool(torch.autograd.gradcheck(call, (x.requires_grad_(), *parameters)))

    return check


@pytest.fixture
def exported() -> Callable[[nn.Module, Tensor], Callable[[Tensor], Tensor]]:
    """Exports a module with a free batch axis and returns what the exported program computes."""

    def export(module: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
        batch = torch.export.Dim("batch", min=1, max=16)
        program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},), strict=False)
        placeholder = next(node for node in program.graph.nodes if node.name == program.graph_signature.user_inputs[0])
        assert not isinstance(placeholder.meta["val"].shape[0], int), "the batch axis was specialised to one size"
        return program.module()

    return export
