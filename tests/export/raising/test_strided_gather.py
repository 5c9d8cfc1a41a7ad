"""torch.as_strided is raised where its strides are those of windows over the tensor, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

X = torch.randn(2, 3, 6, 7)


def strided(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Any:
    return lambda x: torch.as_strided(x, (x.shape[0], *size), stride, offset)


def fixed(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> Any:
    return lambda x: torch.as_strided(x, size, stride, offset)


def test_windows_with_a_free_batch(exported: Any, agree: Any, domain_node: Any) -> None:
    function = strided((3, 4, 5, 3, 3), (126, 42, 7, 1, 7, 1))
    raised = exported(function, (X,), "dynamo", (0,))
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    assert domain_node(raised.model)[1]["kernel"] == [3, 3]
    for x in (X, torch.randn(4, 3, 6, 7)):
        agree(raised.model, (x,), function(x))


@pytest.mark.parametrize(
    ("size", "stride", "counts"),
    [
        ((2, 3, 4, 5, 3, 3), (126, 42, 7, 1, 7, 1), {"Im2Col": 1}),
        ((2, 3, 3, 3, 2, 4), (126, 42, 14, 1, 7, 1), {"Im2Col": 1}),
        ((2, 3, 3, 3, 4, 5), (126, 42, 7, 1, 7, 1), {"Im2Col": 1}),
        ((1, 3, 4, 5, 3, 3), (126, 42, 7, 1, 7, 1), {"Im2Col": 1}),
        ((2, 3, 6, 5, 3), (126, 42, 7, 1, 1), {"Unfold": 1}),
    ],
    ids=["windows", "a stride", "taps first", "one image", "one axis"],
)
def test_constant_numbers(exported: Any, agree: Any, size: Any, stride: Any, counts: Any) -> None:
    raised = exported(fixed(size, stride), (X,), "torchscript", ())
    assert (raised.counts, raised.refused) == (counts, ())
    agree(raised.model, (X,), fixed(size, stride)(X))


@pytest.mark.parametrize(
    ("size", "stride", "reason"),
    [
        ((2, 2, 4, 6, 3, 3), (126, 42, 7, 1, 7, 1), "its windows run over the end of an axis"),
        ((2, 2, 4, 5, 3, 3), (126, 42, 7, 1, 8, 1), "its axes are not those of the tensor and of a window"),
        ((2, 2, 4, 5, 3, 3), (126, 42, 7, 1, 0, 1), "a stride of its windows is that of no axis"),
    ],
    ids=["wraps into the next row", "a diagonal", "a broadcast"],
)
def test_other_strides_stay_with_the_reason(exported: Any, size: Any, stride: Any, reason: str) -> None:
    raised = exported(fixed(size, stride), (X,), "torchscript", ())
    assert (raised.counts, [refusal.reason for refusal in raised.refused]) == ({}, [reason])


def test_an_offset_is_the_start_of_the_first_window(exported: Any, agree: Any) -> None:
    function = fixed((2, 3, 3, 3, 3, 3), (126, 42, 7, 1, 7, 1), 7 + 2)
    raised = exported(function, (X,), "torchscript", ())
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    agree(raised.model, (X,), function(X))


def test_numbers_that_differ_from_strides_at_one_place_stay_with_the_reason(exported: Any) -> None:
    index = torch.arange(X.numel()).as_strided((2, 3, 4, 5, 3, 3), (126, 42, 7, 1, 7, 1)).clone()
    index[1, 2, 2, 3, 1, 1] += 1
    raised = exported(lambda x: x.reshape(-1)[index], (X,), "torchscript", ())
    reasons = [refusal.reason for refusal in raised.refused]
    assert (raised.counts, reasons) == ({}, ["its numbers are not those of strides"])
