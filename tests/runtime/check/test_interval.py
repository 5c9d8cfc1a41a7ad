"""The interval covers the true ratio, shrinks with more rows, and needs enough of them."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.runtime.check.interval import FEWEST, ratio_interval, row_squares


def _squares(rows: int, scale: float, seed: int) -> np.ndarray:
    """Rows of 50 errors; each row has a size of its own, as inputs of different difficulty do."""
    generator = np.random.default_rng(seed)
    errors = generator.standard_normal((rows, 50)) * generator.uniform(0.5, 2.0, (rows, 1)) * scale
    return row_squares(errors, np.zeros((rows, 50)))


def test_rows_are_summed_apart() -> None:
    got = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    np.testing.assert_array_equal(row_squares(got, np.array([[0.0, 0.0], [3.0, 2.0]])), [[5.0, 2.0], [4.0, 2.0]])


@pytest.mark.parametrize("true", [0.7, 1.9, 2.4])
def test_the_interval_covers_the_true_ratio_about_as_often_as_it_says(true: float) -> None:
    covered = 0
    for seed in range(40):
        interval = ratio_interval([_squares(64, true, seed)], [_squares(64, 1.0, seed + 1000)], 0.0)
        assert interval is not None
        covered += interval[0] <= true <= interval[1]
    assert covered >= 34  # 95 % of 40, less what chance allows


def test_more_rows_make_it_narrower() -> None:
    def width(rows: int) -> float:
        interval = ratio_interval([_squares(rows, 2.0, 1)], [_squares(rows, 1.0, 2)], 0.0)
        assert interval is not None
        return interval[1] - interval[0]

    assert width(2000) < width(200) < width(20)


def test_few_rows_or_other_rows_have_no_interval() -> None:
    few = [_squares(FEWEST - 1, 1.0, 0)]
    assert ratio_interval(few, few, 0.0) is None
    assert ratio_interval([_squares(32, 1.0, 0)], [_squares(31, 1.0, 0)], 0.0) is None
    assert ratio_interval([np.full((32, 2), np.inf)], [_squares(32, 1.0, 0)], 0.0) is None


def test_pytorch_without_an_error_counts_as_the_floor() -> None:
    exact = [row_squares(np.zeros((32, 50)), np.zeros((32, 50)))]
    mine = [_squares(32, 1e-3, 3)]
    assert ratio_interval(mine, exact, 0.0) is None
    interval = ratio_interval(mine, exact, 1e-3)
    assert interval is not None
    rms = np.sqrt(mine[0][:, 0].sum() / mine[0][:, 1].sum())
    assert interval[0] < rms / 1e-3 < interval[1]


def test_thousands_of_rows_are_joined_and_give_the_same_ratio() -> None:
    interval = ratio_interval([_squares(5000, 3.0, 4)], [_squares(5000, 1.0, 5)], 0.0)
    assert interval is not None
    assert interval[0] < 3.0 < interval[1]
    assert interval[1] - interval[0] < 0.2
