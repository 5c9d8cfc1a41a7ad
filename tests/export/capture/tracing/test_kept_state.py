"""Networks that keep something of each run: ``self.mean = self.mean.type_as(x)`` in super-resolution networks, tables by size in others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attnexport.export.capture.tracing.kept_state import kept_state


class Mean(nn.Module):
    """As SwinIR and what follows it: a plain tensor, of the input's type from the first run on."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)
        self.scale = nn.Parameter(torch.rand(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = self.mean.type_as(x)
        return (x - self.mean) * self.scale + self.mean


class Table(nn.Module):
    """A table by the length of what comes in, in a dictionary; the last ones in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[int, Tensor] = {}
        self.last: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] not in self.tables:
            self.tables[x.shape[-1]] = torch.arange(x.shape[-1]).to(x)
        self.last.append(x.mean((0, 1)))
        return x * self.tables[x.shape[-1]] + sum(self.last[-1:])


class Frozen(dict[str, Any]):
    """As the configuration of diffusers' networks."""

    def update(self, *_: Any, **__: Any) -> None:
        raise TypeError("this is frozen")

    clear = update


class Configured(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.config = Frozen(scale=2.0)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.config["scale"]


class Counter(nn.Module):
    """A buffer that is set anew."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen * 0 + x.flatten()[:1]
        return x * 2


@pytest.mark.parametrize("kind", [Mean, Table, Configured])
def test_a_network_that_keeps_tensors_exports_with_a_free_batch(kind: type[nn.Module], parity: Any) -> None:
    assert parity(kind(), "x=2x3x6x4", dynamic=("x:0=1:2:5",)) < 1e-6


def test_attributes_dictionaries_lists_and_buffers_are_as_before() -> None:
    mean, table, counter = nested = nn.ModuleList([Mean(), Table(), Counter()])
    table.tables[9] = nine = torch.ones(1)
    values, tables, last, seen = mean.mean, table.tables, table.last, counter.seen
    with kept_state(nested):
        for part in nested:
            part(torch.ones(1, 3, 5, 5, dtype=torch.float64))
        mean.further = 3
        assert (mean.mean.dtype, counter.seen.item(), len(table.last)) == (torch.float64, 1, 1)
        assert set(table.tables) == {5, 9}
    assert mean.mean is values
    assert not hasattr(mean, "further")
    assert table.tables is tables and list(tables) == [9] and tables[9] is nine
    assert table.last is last and last == []
    assert counter.seen is seen and dict(counter.named_buffers()) == {"seen": seen}


def test_what_was_before_comes_back_after_an_error() -> None:
    mean = Mean()
    before = mean.mean
    with pytest.raises(RuntimeError, match="in between"), kept_state(mean):
        mean.mean = before + 1
        raise RuntimeError("in between")
    assert mean.mean is before
