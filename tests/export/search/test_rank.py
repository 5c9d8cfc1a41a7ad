"""The ranking: independent errors add up in squares, and nodes that are worth most come first."""

from __future__ import annotations

import math

import pytest

from attnexport.export.search.rank import order, predicted, top_share
from attnexport.export.search.roundings import Rounding


def source(node: str, *others: str, kind: str = "out") -> Rounding:
    return Rounding(node, kind, frozenset({node, *others}))


STRONG, WEAK, PAIR = source("a"), source("b"), source("c", "d")
ENERGIES = {STRONG: 9.0, WEAK: 1.0, PAIR: 6.0}


def test_the_prediction_is_the_root_of_the_sum_of_squares() -> None:
    assert predicted(ENERGIES) == 4.0
    assert predicted(ENERGIES, frozenset({"a"})) == pytest.approx(math.sqrt(7.0))
    assert predicted(ENERGIES, frozenset({"a", "c"})) == pytest.approx(math.sqrt(7.0)), "half of a pair removes nothing"
    assert predicted(ENERGIES, frozenset("abcd")) == 0.0


def test_what_takes_away_most_per_node_comes_first() -> None:
    steps = order(ENERGIES)
    assert [step.nodes for step in steps] == [("a",), ("c", "d"), ("b",)]  # 9 per node, 3 per node, 1
    assert [step.energy for step in steps] == [7.0, 1.0, 0.0]
    assert [step.cause for step in steps] == [STRONG, PAIR, WEAK]


def test_what_is_gone_with_a_step_counts_for_it_and_comes_no_second_time() -> None:
    weights = source("d", kind="weight")
    steps = order({STRONG: 4.0, PAIR: 5.0, weights: 4.0})
    assert [set(step.nodes) for step in steps] == [{"c", "d"}, {"a"}] or steps[0].nodes == ("a",)
    assert steps[-1].energy == 0.0
    assert sum(len(step.nodes) for step in steps) == 3


def test_diffuse_and_concentrated() -> None:
    assert top_share({source(str(i)): 1.0 for i in range(10)}) == pytest.approx(0.3)
    assert top_share(ENERGIES) == 1.0
    assert top_share({}) == 1.0
