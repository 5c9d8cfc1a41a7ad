"""The same arithmetic at every tap, joined: the window operator and the arithmetic once, exactly where the branches are alike."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F

TAPS = list(product(range(3), range(3)))
X = torch.randn(2, 4, 6, 7)
OTHER = torch.randn(3, 4, 5, 8)


def shifted(x: torch.Tensor, i: int, j: int) -> torch.Tensor:
    return F.pad(x, (1, 1, 1, 1))[:, :, i : i + x.shape[2], j : j + x.shape[3]]


def dot(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([(torch.sigmoid(x) * shifted(x, i, j)).sum(1, keepdim=True) for i, j in TAPS], 1)


def heads(x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    q = torch.sigmoid(x).view(n, 2, c // 2, h, w)
    return torch.stack([(q * shifted(x, i, j).reshape(n, 2, c // 2, h, w)).sum(2) for i, j in TAPS], 2)


def einsum(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.einsum("nchw,nchw->nhw", torch.sigmoid(x), shifted(x, i, j)) for i, j in TAPS], 1)


def differences(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([(x - shifted(x, i, j)).abs().mean((1,), keepdim=True) for i, j in TAPS], 1)


def relative(x: torch.Tensor) -> torch.Tensor:
    bias = torch.linspace(-1, 1, 36).reshape(9, 1, 4, 1, 1)
    return torch.stack([(x * (shifted(x, i, j) + bias[3 * i + j])).sum(1) for i, j in TAPS], -1)


def unreduced(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x - shifted(x, i, j) for j, i in TAPS], 1)


@pytest.mark.parametrize("free", [(0,), (0, 2, 3)], ids=["free batch", "free height and width"])
@pytest.mark.parametrize("function", [dot, heads, einsum, differences, relative, unreduced])
def test_branches_are_written_once(exported: Any, agree: Any, domain_node: Any, function: Any, free: Any) -> None:
    raised = exported(function, (X,), "torchscript", free)
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    assert domain_node(raised.model)[1] == {"kernel": [3, 3], "dilation": [1, 1], "pads": [0] * 4, "stride": [1, 1]}
    kinds = [n.op_type for n in raised.model.graph.node]
    assert kinds.count("ReduceSum") + kinds.count("ReduceMean") + kinds.count("Einsum") == (function is not unreduced)
    for x in (X, OTHER) if len(free) > 1 else (X,):
        agree(raised.model, (x,), function(x), 1e-5)


def test_what_dynamo_writes(exported: Any, agree: Any) -> None:
    raised = exported(heads, (X,), "dynamo", (0, 2, 3))
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    agree(raised.model, (OTHER,), heads(OTHER), 1e-5)


def missing(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([(x * shifted(x, i, j)).sum(1, keepdim=True) for i, j in TAPS[1:]], 1)


def lookalike(x: torch.Tensor) -> torch.Tensor:
    terms = [(x * shifted(x, i, j)).sum(1, keepdim=True) for i, j in TAPS]
    return torch.cat([*terms[:4], (x - shifted(x, 1, 1)).sum(1, keepdim=True), *terms[5:]], 1)


@pytest.mark.parametrize(
    ("function", "refused"),
    [(missing, ["its slices are 8 of the 9 taps of a window"]), (lookalike, [])],
    ids=["a missing tap", "one branch of another operator"],
)
def test_near_misses_are_left_alone(exported: Any, function: Any, refused: list[str]) -> None:
    raised = exported(function, (X,))
    assert (raised.counts, [refusal.reason for refusal in raised.refused]) == ({}, refused)
