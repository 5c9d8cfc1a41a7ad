"""Medians of measured times, their bootstrap intervals, and ratios of medians over the same rounds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...runtime.bundle.bench_report import Interval

Rounds = Sequence[npt.NDArray[np.float64]]
"""The seconds of every call, one array for each round."""
DRAWS = 2000
_ENDS = (0.025, 0.975)


def typical(rounds: Rounds) -> npt.NDArray[np.float64]:
    """Return the median call of each round. Calls of one round are not independent, so each round counts once."""
    return np.array([np.median(calls) for calls in rounds])


def median(rounds: Rounds) -> Interval:
    """Return the median round with its 95 % bootstrap interval. Raises ValueError without a round."""
    values = typical(rounds)
    drawn = np.median(values[_picks(len(values))], axis=1)
    return _interval(float(np.median(values)), drawn)


def ratio(slow: Rounds, fast: Rounds) -> Interval:
    """Return median(slow) / median(fast) with its interval. Rounds are drawn in pairs, since a disturbance affects both.

    Raises ValueError if the numbers of rounds differ.
    """
    over, under = typical(slow), typical(fast)
    if len(over) != len(under):
        raise ValueError(f"{len(over)} and {len(under)} rounds are not pairs")
    picks = _picks(len(over))
    drawn = np.median(over[picks], axis=1) / np.median(under[picks], axis=1)
    return _interval(float(np.median(over) / np.median(under)), drawn)


def quantile(rounds: Rounds, share: float) -> float:
    """Return the time that ``share`` of all calls stay within. It is the time of a real call: of few calls, the slowest."""
    return float(np.quantile(np.concatenate(list(rounds)), share, method="higher"))


def _picks(count: int) -> npt.NDArray[np.int64]:
    if not count:
        raise ValueError("nothing was measured")
    return np.random.default_rng(0).integers(0, count, (DRAWS, count))


def _interval(value: float, drawn: npt.NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn, _ENDS)
    return Interval(value, float(low), float(high))
