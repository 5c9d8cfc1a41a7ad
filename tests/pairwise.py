"""Tests marked ``pairwise`` run a part of their grid that has every pair of parameter values; the rest is ``sweep``."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations

import pytest


def cover(rows: Sequence[Sequence[Hashable]]) -> set[int]:
    """Return the numbers of rows that together have every pair of values that any row has: greedy, always the same."""
    pairs: list[set[Hashable]] = [set(combinations(enumerate(row), 2)) or {tuple(row)} for row in rows]
    missing: set[Hashable] = set().union(*pairs)
    chosen: set[int] = set()
    while missing:
        best = max(range(len(rows)), key=lambda number: len(pairs[number] & missing))
        chosen.add(best)
        missing -= pairs[best]
    return chosen


def beyond_pairs(items: Sequence[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield the collected tests marked ``pairwise`` that their grid's cover does not need."""
    grids: dict[Hashable, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("pairwise") is not None:
            grids.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for grid in grids.values():
        needed = cover([[repr(value) for _, value in sorted(item.callspec.params.items())] for item in grid])
        yield from (item for number, item in enumerate(grid) if number not in needed)
