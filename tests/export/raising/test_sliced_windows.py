"""Slices at every tap of a window become one window operator, exactly where they are one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F

X = torch.randn(2, 4, 8, 10)
OTHER = torch.randn(3, 4, 9, 7)
FREE = pytest.mark.parametrize("free", [(0,), (0, 2, 3)], ids=["free batch", "free height and width"])
TAPS = list(product(range(3), range(3)))


def stacked(axis: int, taps: list[tuple[int, int]] = TAPS, dilation: int = 1, stride: int = 1) -> Callable[..., Any]:
    def run(x: torch.Tensor) -> torch.Tensor:
        high, wide = x.shape[2:]
        xp = F.pad(x, (dilation,) * 4)
        return torch.stack(
            [
                xp[:, :, i : i + high : stride, j : j + wide : stride]
                for i, j in ((i * dilation, j * dilation) for i, j in taps)
            ],
            axis,
        )

    return run


def joined(x: torch.Tensor) -> torch.Tensor:
    xp = F.pad(x, (1, 1, 1, 1))
    return torch.cat([xp[:, :, i : i + x.shape[2], j : j + x.shape[3]] for i, j in TAPS], 1)


@FREE
@pytest.mark.parametrize("axis", [0, 2, -1])
def test_any_stacking_axis(exported: Any, agree: Any, domain_node: Any, free: Any, axis: int) -> None:
    raised = exported(stacked(axis), (X,), "torchscript", free)
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    assert domain_node(raised.model)[1] == {"kernel": [3, 3], "dilation": [1, 1], "pads": [0] * 4, "stride": [1, 1]}
    assert not {"Slice", "Concat" if free == (0,) else "Slice"} & {n.op_type for n in raised.model.graph.node}
    for x in (X, OTHER) if len(free) > 1 else (X,):
        agree(raised.model, (x,), stacked(axis)(x))


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
@FREE
def test_a_concat_along_the_channels(exported: Any, agree: Any, exporter: str, free: Any) -> None:
    raised = exported(joined, (X,), exporter, free)
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    for x in (X, OTHER) if len(free) > 1 else (X,):
        agree(raised.model, (x,), joined(x))


@FREE
@pytest.mark.parametrize(("dilation", "stride"), [(2, 1), (1, 2), (2, 3)])
def test_dilation_and_stride(
    exported: Any, agree: Any, domain_node: Any, free: Any, dilation: int, stride: int
) -> None:
    function = stacked(2, dilation=dilation, stride=stride)
    raised = exported(function, (X,), "torchscript", free)
    attributes = domain_node(raised.model)[1]
    assert (attributes["dilation"], attributes["stride"]) == ([dilation] * 2, [stride] * 2)
    for x in (X, OTHER) if len(free) > 1 else (X,):
        agree(raised.model, (x,), function(x))


@pytest.mark.parametrize(
    ("kernel", "stride", "size"), [(3, 3, (9, 11)), (2, 2, (8, 8)), (2, 3, (7, 9)), (5, 3, (6, 9))]
)
def test_windows_that_do_not_overlap_or_are_one_along_an_axis(
    exported: Any, agree: Any, domain_node: Any, kernel: int, stride: int, size: tuple[int, int]
) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        high, wide = ((s - kernel) // stride * stride + 1 for s in x.shape[2:])
        taps = product(range(kernel), range(kernel))
        return torch.stack([x[:, :, i : i + high : stride, j : j + wide : stride] for i, j in taps], 2)

    x = torch.randn(2, 3, *size)
    raised = exported(function, (x,))
    assert (raised.counts, raised.refused) == ({"Im2Col": 1}, ())
    attributes = domain_node(raised.model)[1]
    assert (attributes["kernel"], attributes["stride"]) == ([kernel] * 2, [stride] * 2)
    agree(raised.model, (x,), function(x))


def test_one_position_along_the_last_of_three_axes(exported: Any, agree: Any) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        taps = product(range(2), range(3), range(5))
        return torch.stack([x[:, :, i : i + 3, j : j + 4 : 2, k : k + 1] for i, j, k in taps], -1)

    x = torch.randn(2, 3, 4, 6, 7)
    raised = exported(function, (x,))
    assert (raised.counts, raised.refused) == ({"Unfold": 3}, ())
    agree(raised.model, (x,), function(x))


def volumes(x: torch.Tensor) -> torch.Tensor:
    d, h, w = x.shape[2:]
    xp = F.pad(x, (1,) * 6)
    return torch.stack(
        [xp[:, :, i : i + d, j : j + h, k : k + w] for i, j, k in product(range(3), range(3), range(3))], 2
    )


def sequences(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([x[:, :, d : d + x.shape[2] - 4] for d in (0, 2, 4)], -1)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    xp = F.pad(x, (0, 0, 1, 1, 1, 1))
    return torch.stack([xp[:, i : i + x.shape[1], j : j + x.shape[2]] for i, j in TAPS], 3)


@pytest.mark.parametrize(
    ("function", "shape", "other", "free", "unfolds"),
    [
        (volumes, (2, 2, 4, 5, 6), (1, 2, 5, 4, 3), (0, 2, 3, 4), 3),
        (sequences, (2, 4, 11), (3, 4, 8), (0, 2), 1),
        (channels_last, (2, 6, 7, 3), (1, 5, 8, 3), (0, 1, 2), 2),
    ],
    ids=["three axes", "one dilated axis", "channels last"],
)
def test_other_axes_become_one_unfold_each(
    exported: Any, agree: Any, function: Any, shape: Any, other: Any, free: Any, unfolds: int
) -> None:
    raised = exported(function, (torch.randn(shape),), "torchscript", free)
    assert (raised.counts, raised.refused) == ({"Unfold": unfolds}, ())
    for size in (shape, other):
        x = torch.randn(size)
        agree(raised.model, (x,), function(x))


@FREE
def test_windows_that_stop_short_are_cropped(exported: Any, agree: Any, domain_node: Any, free: Any) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        high, wide = x.shape[2:]
        return torch.stack([x[:, :, 1 + i : high - 4 + i, j : wide - 5 + j] for i, j in TAPS], 2)

    raised = exported(function, (X,), "torchscript", free)
    assert raised.counts == {"Im2Col": 1}
    assert next(n.op_type for n in raised.model.graph.node) == "Slice"
    for x in (X, torch.randn(1, 4, 9, 12)) if len(free) > 1 else (X,):
        agree(raised.model, (x,), function(x))


def test_taps_in_another_order_are_put_into_it(exported: Any, agree: Any) -> None:
    order = [TAPS[i] for i in (4, 0, 8, 2, 6, 1, 3, 5, 7)]
    raised = exported(stacked(2, order), (X,))
    assert raised.counts == {"Im2Col": 1}
    agree(raised.model, (X,), stacked(2, order)(X))


def two_tensors(x: torch.Tensor) -> torch.Tensor:
    a, b = F.pad(x, (1, 1, 1, 1)), F.pad(x * 2, (1, 1, 1, 1))
    return torch.stack([(a if i else b)[:, :, i : i + 8, j : j + 10] for i, j in TAPS], 2)


def unequal_strides(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([x[:, :, 0:6:2], x[:, :, 1:7:2], x[:, :, 2:5]], 2)


def unequal_lengths(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([x[:, :, 0:6], x[:, :, 1:7], x[:, :, 2:7]], 2)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (stacked(2, [*TAPS[:4], *TAPS[5:]]), "its slices are 8 of the 9 taps of a window"),
        (stacked(2, [*TAPS[:8], (2, 1)]), "a slice appears twice"),
        (
            stacked(2, [(i + (i == 2), j) for i, j in TAPS[:]], stride=2, dilation=1),
            "its slices along axis 2 are not evenly apart",
        ),
        (two_tensors, "its slices are of 2 tensors"),
        (unequal_strides, "its slices have unequal strides"),
        (unequal_lengths, "its slices are of unequal lengths"),
    ],
    ids=["a missing tap", "a tap twice", "an offset off by one", "two tensors", "unequal strides", "unequal lengths"],
)
def test_a_near_miss_stays_with_its_reason(exported: Any, function: Any, reason: str) -> None:
    x = torch.randn(2, 4, 8, 10)
    raised = exported(function, (x,))
    assert raised.counts == {}
    assert [refusal.reason for refusal in raised.refused] == [reason]


def test_bounds_that_are_not_proved_to_lie_inside(exported: Any) -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, :, i : i + y.shape[2]] for i in range(3)], 2)

    raised = exported(function, (X, torch.randn(2, 4, 5, 10)), "dynamo", (0, 2))
    assert raised.counts == {}
    assert [refusal.reason for refusal in raised.refused] == [
        "the bounds of its slices are not known to lie inside the axis"
    ]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cat([-x[..., 5:], x[..., :5]], -1),
        lambda x: torch.stack(x.chunk(4, 1), 0),
        lambda x: torch.cat([x[:, 1:], x[:, :1]], 1),
    ],
    ids=["rotary halves", "chunks", "a roll"],
)
def test_halves_tiles_and_rolls_are_none_of_its_business(exported: Any, function: Any) -> None:
    raised = exported(function, (X,))
    assert (raised.counts, raised.refused) == ({}, ())
