"""What is left passes, and would not without any one of its nodes."""

from __future__ import annotations

import pytest

from attnexport.export.search.pruning import prune

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
