"""The fewest steps that pass are found from any start, in a number of trials that grows with the logarithm."""

from __future__ import annotations

import pytest

from attnexport.export.search.bisection import expected, fewest, prefix_nodes
from attnexport.export.search.rank import RankStep
from attnexport.export.search.roundings import Rounding

STEPS = [RankStep((f"n{i}",), Rounding(f"n{i}", "out", frozenset({f"n{i}"})), float(19 - i)) for i in range(20)]


@pytest.mark.parametrize("start", [0, 3, 10, 20, 50])
@pytest.mark.parametrize("needed", [0, 1, 7, 19, 20])
def test_it_finds_the_boundary(start: int, needed: int) -> None:
    tried: list[int] = []

    def passes(kept: frozenset[str]) -> bool:
        tried.append(len(kept))
        return len(kept) >= needed

    assert fewest(STEPS, passes, start) == needed
    assert len(tried) == len(set(tried)) <= 10
    assert 20 not in tried, "all nodes in FP32 need no trial"


def test_no_steps() -> None:
    assert fewest([], lambda kept: False, 3) == 0
    assert prefix_nodes(STEPS, 2) == {"n0", "n1"}


def test_the_start_is_where_the_prediction_is_within() -> None:
    assert expected(STEPS, 20.0, 4.0) == 4  # energies 20, 19, 18, 17, 16: an error of 4 after four steps
    assert expected(STEPS, 9.0, 3.0) == 0
    assert expected(STEPS, 20.0, 0.0) == 20
