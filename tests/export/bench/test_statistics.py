"""What may be said of measured times."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.bench.statistics import median, quantile, ratio


def rounds(*values: float) -> list[np.ndarray]:
    return [np.array([value]) for value in values]


def test_the_median_is_that_of_rounds_not_of_calls() -> None:
    many = [np.array([1.0]), np.array([2.0]), np.full(50, 9.0)]
    assert median(many).value == 2.0


def test_equal_rounds_have_no_interval() -> None:
    found = median(rounds(3.0, 3.0, 3.0))
    assert (found.value, found.low, found.high) == (3.0, 3.0, 3.0)


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        found = median([np.array([v]) for v in rng.lognormal(0.0, 0.3, 25)])
        held += found.low <= 1.0 <= found.high
    assert 180 <= held <= 199  # 95 % of 200, and the bootstrap's own looseness


def test_a_ratio_is_taken_over_the_same_rounds() -> None:
    """A machine that is ten times slower in some rounds is so for both: paired, that says nothing against a ratio of 2."""
    mood = np.array([1.0, 10.0] * 6 + [1.0])
    found = ratio(rounds(*(2 * mood)), rounds(*mood))
    assert found.value == pytest.approx(2.0)
    assert (found.low, found.high) == pytest.approx((2.0, 2.0))
    alone = median(rounds(*mood))
    assert alone.high / alone.low > 5


def test_the_quantile_is_a_call_that_happened() -> None:
    calls = [np.arange(1.0, 11.0), np.arange(11.0, 21.0)]
    assert quantile(calls, 0.95) == 20.0
    assert quantile([np.arange(1.0, 41.0)], 0.95) == 39.0
    assert quantile(rounds(5.0), 0.95) == 5.0


def test_nothing_and_what_is_no_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        median([])
    with pytest.raises(ValueError, match="2 and 1 rounds are not pairs"):
        ratio(rounds(1.0, 2.0), rounds(1.0))
