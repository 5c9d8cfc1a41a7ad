"""The cover of a grid has every pair of values, and is much smaller than the grid."""

from __future__ import annotations

from itertools import combinations, product

from pairwise import cover


def test_every_pair_is_covered_by_few_rows() -> None:
    rows = list(product(range(3), range(8), range(2), range(2)))
    chosen = cover(rows)
    assert len(chosen) == 24 and chosen == cover(rows)

    def pairs(numbers) -> set:
        return {pair for number in numbers for pair in combinations(enumerate(rows[number]), 2)}

    assert pairs(chosen) == pairs(range(len(rows)))


def test_a_grid_of_one_axis_stays_whole() -> None:
    assert cover([("a",), ("b",)]) == {0, 1}
    assert cover([()]) == {0}
