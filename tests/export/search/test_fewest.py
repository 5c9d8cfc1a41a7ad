"""The fewest steps that pass are found from any start, in few trials; what pruning leaves passes, and needs every node."""

from __future__ import annotations

import pytest

from attnexport.export.search.fewest import expected, fewest, prefix_nodes, prune
from attnexport.export.search.rank import RankStep
from attnexport.export.search.roundings import Rounding

NODES = [f"n{i}" for i in range(16)]


@pytest.mark.parametrize("needed", [set(), {"n0"}, {"n15"}, {"n3", "n4", "n12"}, set(NODES)], ids=len)
def test_only_what_is_needed_is_left(needed: set[str]) -> None:
    tried: list[frozenset[str]] = []

    def passes(kept: frozenset[str]) -> bool:
        tried.append(kept)
        return needed <= kept

    assert set(prune(NODES, passes)) == needed
    assert len(tried) <= 2 * len(NODES)


def test_either_of_two_is_enough() -> None:
    left = prune(NODES, lambda kept: bool({"n2", "n9"} & kept))
    assert left == ("n2",), "parts at the end are dropped first"


def test_what_is_hopeless_is_not_tried() -> None:
    tried: list[frozenset[str]] = []

    def passes(kept: frozenset[str]) -> bool:
        tried.append(kept)
        return len(kept) >= 4

    assert len(prune(NODES, passes, hopeless=lambda kept: len(kept) < 4)) == 4
    assert all(len(kept) >= 4 for kept in tried)


def test_nothing_to_prune() -> None:
    assert prune([], lambda kept: True) == ()


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
