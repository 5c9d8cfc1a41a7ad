"""Parts of an axis whose size is a multiple of a free one keep that one free."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.export.capture.tracing.trace import FixedAxisError


class Pair(nn.Module):
    """Two inputs go through one network as a batch of twice the size, and come apart again."""

    def __init__(self, apart):
        super().__init__()
        self.layer, self.apart = nn.Linear(3, 5), apart

    def forward(self, a, b):
        first, second = self.apart(self.layer(torch.cat((a, b))).tanh(), a.shape[0])
        return first - 2 * second


WAYS = {
    "chunk": lambda y, n: torch.chunk(y, 2),
    "method": lambda y, n: y.chunk(2, 0),
    "keywords": lambda y, n: torch.chunk(input=y, chunks=2, dim=-2),
    "unsafe": lambda y, n: y.unsafe_chunk(2),
    "split": lambda y, n: torch.split(y, n),
    "sections": lambda y, n: torch.split(y, split_size_or_sections=n, dim=0),
    "list": lambda y, n: torch.split(y, [n, n]),
    "half": lambda y, n: y.split(y.shape[0] // 2, dim=0),
}


def batches(found):
    """A batch that is not free any more has no symbol."""
    return {spec.axes[0].symbol for spec in found.inputs}


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_of_pairs_stays_free(entered, parity, way):
    assert batches(entered(Pair(WAYS[way]), "a=2x3", "b=2x3")) == {"batch"}
    assert parity(Pair(WAYS[way]), "a=2x3", "b=2x3") < 1e-6


class Thirds(nn.Module):
    def forward(self, x):
        parts = x.repeat(1, 3).chunk(3, 1)
        return parts[0] * parts[1].sin() + parts[2]


def test_parts_of_another_axis(parity):
    assert parity(Thirds(), "x=2x7", dynamic=("x:1=2:7:9",)) < 1e-6


class Parts(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def forward(self, x):
        parts = x.chunk(self.count)
        assert len(parts) == self.count
        return tuple(parts[0].sum(0) - part.sin() for part in parts)


@pytest.mark.parametrize(("count", "least", "most"), [(2, 2, 7), (2, 3, 8), (3, 5, 10), (4, 10, 21)])
def test_parts_of_any_size_that_gives_as_many(parity, count, least, most):
    assert parity(Parts(count), f"x={most - 1}x3", dynamic=(f"x:0={least}:{most - 1}:{most}",)) < 1e-6


@pytest.mark.parametrize(("count", "least"), [(2, 2), (3, 5)])
def test_parts_that_are_not_always_as_many_are_refused(entered, count, least):
    said = (
        rf"Parts\) at .*:\d+ cuts axis 0 of a tensor into {count} parts, and below a size of {least} there may be fewer"
    )
    with pytest.raises(FixedAxisError, match=said) as caught:
        entered(Parts(count), "x=6x3", dynamic=(f"x:0={least - 1}:6:8",))
    assert f"--dynamic NAME:AXIS={least}:OPT:MAX" in str(caught.value)


def test_a_batch_that_was_only_assumed_is_fixed_then(entered):
    assert [axis.symbol for axis in entered(Parts(2), "x=6x3").inputs[0].axes] == [None, None]


class Named(nn.Module):
    """Four sizes of 1 and more sum up to 4 and more, which may be three parts of four; 4N are always four."""

    def forward(self, maps, *, scale):
        first, second = torch.cat((*maps.values(), scale)).chunk(4)[:2]
        return first * second


def test_inputs_inside_of_others_and_by_name(entered, parity):
    names = ("maps.left", "maps.middle", "maps.right", "scale")
    assert batches(entered(Named(), *(f"{name}=2x3" for name in names))) == {"batch"}
    assert parity(Named(), *(f"{name}=2x3" for name in names)) < 1e-6
