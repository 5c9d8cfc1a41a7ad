"""Numbers that a module reads from tensors of its own are known while it is traced; those that an input is in are not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.errors import UnsupportedModelError
from attnexport.export.capture.tracing.known_values import known_values


class Length(nn.Module):
    """A size in a buffer: torch.export alone takes ``int(self.length)`` for unknown, and then cannot add the two."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("length", torch.tensor([3, 7]))

    def forward(self, x):
        total = 0
        for size in self.length.tolist():
            total = total + size
        if bool((self.length > 2).all()):
            x = x + torch.arange(int(self.length[1]))
        return x * float(self.length.prod()) + torch.zeros(total - 3)


class Shapes(nn.Module):
    """Levels of a pyramid as a tensor of sizes, as deformable attention is given them."""

    def forward(self, x):
        shapes = torch.as_tensor([(4, 4), (2, 2)])
        parts = x.split([int(h * w) for h, w in shapes], -1)
        return [part.unflatten(-1, (int(h), int(w))) for part, (h, w) in zip(parts, shapes, strict=True)]


class OfInput(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x):
        if self.how == "sum":
            return x if x.sum() > 1e9 else -x
        if self.how == "shape":  # differs only between sizes
            return x * torch.arange(int(torch.tensor(x.shape)[0])).sum()
        kept = torch.zeros(3)
        kept[0] = x.max()
        return x + 1 if kept.sum().item() > 1e9 else x


def test_sizes_in_buffers(parity):
    assert parity(Length(), "x=2x7", dynamic=("x:0=1:2:5",)) < 1e-6


def test_sizes_in_constants(parity):
    assert parity(Shapes(), "x=2x20", dynamic=("x:0=1:2:5",)) == 0


@pytest.mark.parametrize("how", ["sum", "written"])
def test_a_branch_on_an_input_stays_refused_even_where_two_runs_agree(entered, how):
    with pytest.raises(UnsupportedModelError, match="data-dependent control flow"):
        entered(OfInput(how), "x=2x7")


@pytest.mark.parametrize(
    ("module", "known"),
    [(Length(), [True] * 5), (OfInput("sum"), [False]), (OfInput("shape"), [False]), (OfInput("written"), [False])],
)
def test_what_is_known(module, known):
    mode = known_values(module, ["x"], [torch.randn(2, 7)], [torch.randn(3, 7)])
    assert [entry for _, entry in mode._readings] == known


def test_a_module_that_reads_nothing_is_run_once():
    calls = []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x

    known_values(Counted(), ["x"], [torch.ones(2)], [torch.ones(3)])
    assert len(calls) == 1
