"""torch.linspace over a free axis keeps the axis free, and both ends exact."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.export.capture.tracing.function_overrides import _spaced


class Positions(nn.Module):
    """Reference points as deformable attention makes them: the number of steps is the height."""

    def forward(self, x):
        height = x.shape[1]
        return x + torch.linspace(0.5, height - 0.5, height, device=x.device), x * torch.linspace(
            -1, 1, steps=height, dtype=x.dtype
        )


def test_the_axis_stays_free(parity):
    assert parity(Positions(), "x=2x7", dynamic=("x:0=1:2:4", "x:1=1:7:12")) < 1e-6


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 100])
def test_the_formula_is_the_kernels(steps):
    got = _spaced(-1.5, 2.25, steps)
    torch.testing.assert_close(got, torch.linspace(-1.5, 2.25, steps), rtol=0, atol=3e-7)
    assert got[0] == -1.5
    assert steps == 1 or got[-1] == 2.25
