"""Medians, k-th values and places in a sorted row."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.errors import UnsupportedModelError


class Does(nn.Module):
    def __init__(self, what) -> None:
        super().__init__()
        self.what = what
        self.register_buffer("row", torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]))

    def forward(self, x):
        return self.what(x, self.row)


@pytest.mark.parametrize(
    "what",
    [
        lambda x, row: torch.median(x, -1)[0],
        lambda x, row: torch.median(x[..., :6], -1, keepdim=True)[0],
        lambda x, row: torch.median(x, 1)[1],
        lambda x, row: torch.kthvalue(x, 3, 1)[0],
        lambda x, row: tuple(torch.kthvalue(x, 2, -1, keepdim=True)),
        lambda x, row: torch.bucketize(x, row),
        lambda x, row: torch.bucketize((2 * x).round() / 2, row, right=True, out_int32=True),
        lambda x, row: torch.bucketize((2 * x).round() / 2, row),
        lambda x, row: x.sort(1, descending=True)[0],
        lambda x, row: tuple(x.sort(dim=-2, stable=True)),
        lambda x, row: tuple((2 * x).round().sort(stable=True)),
        lambda x, row: tuple((2 * x).round().sort(stable=True, descending=True)),
        lambda x, row: tuple((x > 0).sort(stable=True)),
        lambda x, row: tuple((8 * x).to(torch.int8).sort(dim=1, stable=True)),
        lambda x, row: tuple((8 * x).to(torch.uint8).sort(dim=1, descending=True, stable=True)),
        lambda x, row: x.gather(-1, x.argsort(-1)),
        lambda x, row: (8 * x).long().sort(-1)[0],
        lambda x, row: x.flatten()[:1].squeeze().sort()[0] + x,
        lambda x, row: torch.searchsorted(row, x),
        lambda x, row: torch.searchsorted(row, (2 * x).round() / 2, side="right"),
        lambda x, row: torch.searchsorted(x.sort(-1)[0], x * 1.1),
        lambda x, row: torch.bucketize(torch.where(x > 1, float("nan"), x), row),
    ],
)
def test_values_are_torchs(parity, what):
    assert parity(Does(what), "x=2x4x7") < 1e-6


def test_a_median_over_a_free_axis_is_refused(entered):
    with pytest.raises(UnsupportedModelError, match=r"torch\.median over axis 1 of free length .* fix that axis"):
        entered(Does(lambda x, row: torch.median(x, 1)[0]), "x=2x4x7", dynamic=("x:1=2:4:8",))


def test_a_sorter_is_refused(entered):
    with pytest.raises(UnsupportedModelError, match="sort the row before the call"):
        entered(Does(lambda x, row: torch.searchsorted(row, x, sorter=torch.arange(5))), "x=2x4x7")


def test_a_free_axis_is_sorted(parity):
    assert parity(Does(lambda x, row: tuple(x.sort(dim=1, stable=True))), "x=2x4x7", dynamic=("x:1=2:4:8",)) < 1e-6
