"""A weighted sum over taps becomes a product and a ReduceSum; box filters, convolutions and other sums stay what they are."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F

TAPS = list(product(range(3), range(3)))
V, A = torch.randn(2, 4, 6, 7), torch.randn(2, 9, 6, 7)
OTHER = (torch.randn(3, 4, 5, 8), torch.randn(3, 9, 5, 8))


def shifted(v: torch.Tensor, i: int, j: int) -> torch.Tensor:
    return F.pad(v, (1, 1, 1, 1))[:, :, i : i + v.shape[2], j : j + v.shape[3]]


def sliced(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return sum(a[:, t : t + 1] * shifted(v, i, j) for t, (i, j) in enumerate(TAPS))


def residual(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    out = torch.zeros_like(v)
    for t, (i, j) in enumerate(TAPS):
        out = out + a[:, t].unsqueeze(1) * shifted(v, i, j)
    return v + out


def chunks(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return sum(p * shifted(v, i, j) for p, (i, j) in zip(a.chunk(9, 1), TAPS, strict=True))


def two_axes(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    a = a.view(a.shape[0], 3, 3, *a.shape[2:])
    return sum(a[:, None, i, j] * shifted(v, i, j) for i, j in TAPS)


def columns_first(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return sum(a[:, t].unsqueeze(1) * shifted(v, i, j) for t, (j, i) in enumerate(TAPS))


def tree(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    terms = [a[:, t : t + 1] * shifted(v, i, j) for t, (i, j) in enumerate(TAPS)]
    while len(terms) > 1:
        terms = [p + q for p, q in zip(terms[::2], terms[1::2], strict=False)] + terms[len(terms) // 2 * 2 :]
    return terms[0]


@pytest.mark.parametrize("free", [(0,), (0, 2, 3)], ids=["free batch", "free height and width"])
@pytest.mark.parametrize("function", [sliced, residual, chunks, two_axes, columns_first, tree])
def test_a_weighted_sum_is_raised(exported: Any, agree: Any, domain_node: Any, function: Any, free: Any) -> None:
    raised = exported(function, (V, A), "torchscript", free)
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    assert domain_node(raised.model)[1] == {"kernel": [3, 3], "dilation": [1, 1], "pads": [0] * 4, "stride": [1, 1]}
    kinds = [n.op_type for n in raised.model.graph.node]
    assert kinds.count("ReduceSum") == 1
    if free == (0,) and function is not residual:
        assert (kinds.count("Mul"), kinds.count("Add")) == (1, 0)
    for inputs in ((V, A), OTHER) if len(free) > 1 else ((V, A),):
        agree(raised.model, inputs, function(*inputs), 1e-5)


def test_what_dynamo_writes(exported: Any, agree: Any) -> None:
    raised = exported(residual, (V, A), "dynamo", (0,))
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    agree(raised.model, (V, A), residual(V, A), 1e-5)


def missing(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return sum(a[:, t : t + 1] * shifted(v, i, j) for t, (i, j) in enumerate(TAPS[:8]))


def box(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return sum(shifted(v, i, j) for i, j in TAPS) + a[:, :4]


def convolution(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return sum((1.5 + t) * shifted(v, i, j) for t, (i, j) in enumerate(TAPS)) + a[:, :4]


def weights_without_windows(v: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    return sum(a[:, t : t + 1] * v for t in range(9))


@pytest.mark.parametrize(
    ("function", "refused"),
    [
        (missing, ["its slices are 8 of the 9 taps of a window"]),
        (box, []),
        (convolution, []),
        (weights_without_windows, []),
    ],
)
def test_other_sums_stay(exported: Any, function: Any, refused: list[str]) -> None:
    raised = exported(function, (V, A))
    assert (raised.counts, [refusal.reason for refusal in raised.refused]) == ({}, refused)
