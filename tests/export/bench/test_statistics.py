"""Statistics of measured times."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.bench.statistics import median, quantile, ratio


def rounds(*values: float) -> list[np.ndarray]:
    return [np.array([value]) for value in values]


def test_the_median_is_over_rounds_and_not_over_calls() -> None:
    many = [np.array([1.0]), np.array([2.0]), np.full(50, 9.0)]
    assert median(many).value == 2.0


def test_equal_rounds_have_no_interval() -> None:
    interval = median(rounds(3.0, 3.0, 3.0))
    assert (interval.value, interval.low, interval.high) == (3.0, 3.0, 3.0)


def test_the_interval_contains_the_true_median_in_95_percent() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        interval = median([np.array([v]) for v in rng.lognormal(0.0, 0.3, 25)])
        covered += interval.low <= 1.0 <= interval.high
    assert 180 <= covered <= 199  # 95 % of 200, and the bootstrap's error


def test_a_ratio_is_taken_over_the_same_rounds() -> None:
    """A machine that is ten times slower in some rounds is slower for both contenders, so the paired ratio stays 2."""
    slowness = np.array([1.0, 10.0] * 6 + [1.0])
    interval = ratio(rounds(*(2 * slowness)), rounds(*slowness))
    assert interval.value == pytest.approx(2.0)
    assert (interval.low, interval.high) == pytest.approx((2.0, 2.0))
    unpaired = median(rounds(*slowness))
    assert unpaired.high / unpaired.low > 5


def test_the_quantile_is_the_time_of_a_real_call() -> None:
    calls = [np.arange(1.0, 11.0), np.arange(11.0, 21.0)]
    assert quantile(calls, 0.95) == 20.0
    assert quantile([np.arange(1.0, 41.0)], 0.95) == 39.0
    assert quantile(rounds(5.0), 0.95) == 5.0


def test_no_rounds_and_unpaired_rounds_are_errors() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        median([])
    with pytest.raises(ValueError, match="2 and 1 rounds are not pairs"):
        ratio(rounds(1.0, 2.0), rounds(1.0))
