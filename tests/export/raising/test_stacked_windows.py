"""Tensor.unfold as the TorchScript exporter writes it, one Slice a window, is an Unfold again."""

from __future__ import annotations

from typing import Any

import pytest
import torch

X = torch.randn(2, 3, 8, 9)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.unfold(2, 3, 1), [(2, 3, 1)]),
        (lambda x: x.unfold(2, 3, 2), [(2, 3, 2)]),
        (lambda x: x.unfold(3, 4, 3), [(3, 4, 3)]),
        (lambda x: x.unfold(1, 2, 1), [(1, 2, 1)]),
        (lambda x: x.unfold(2, 3, 1).unfold(3, 4, 2), [(2, 3, 1), (3, 4, 2)]),
    ],
)
def test_it_is_an_unfold(exported: Any, agree: Any, function: Any, expected: list[tuple[int, int, int]]) -> None:
    raised = exported(function, (X,))
    assert (raised.counts, raised.refused) == ({"Unfold": len(expected)}, ())
    found = [{a.name: a.i for a in n.attribute} for n in raised.model.graph.node]
    assert found == [{"axis": a, "size": size, "step": step} for a, size, step in expected]
    agree(raised.model, (X,), function(X))


def by_hand(starts: list[int], size: int = 3) -> Any:
    return lambda x: torch.stack([x[:, :, s : s + size].transpose(2, 3) for s in starts], 2)


def test_windows_of_the_middle_are_cropped_first(exported: Any, agree: Any) -> None:
    raised = exported(by_hand([1, 2, 3]), (X,))
    assert [n.op_type for n in raised.model.graph.node] == ["Slice", "Unfold"]
    agree(raised.model, (X,), by_hand([1, 2, 3])(X))


@pytest.mark.parametrize(("taps", "places", "size"), [(3, 7, 3), (4, 5, 4), (5, 4, 4)])
def test_along_the_last_axis_the_longer_of_taps_and_places_is_the_places(
    exported: Any, agree: Any, taps: int, places: int, size: int
) -> None:
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[..., t : t + places] for t in range(taps)], 3)

    raised = exported(function, (X,))
    (node,) = (n for n in raised.model.graph.node if n.op_type == "Unfold")
    assert {a.name: a.i for a in node.attribute} == {"axis": 3, "size": size, "step": 1}
    agree(raised.model, (X,), function(X))


def test_windows_that_are_not_evenly_apart_stay(exported: Any) -> None:
    raised = exported(by_hand([0, 1, 3]), (X,))
    assert raised.counts == {}
    assert [refusal.reason for refusal in raised.refused] == ["its slices along axis 2 are not evenly apart"]
