"""What may be said of measured times: medians, their bootstrap intervals, and ratios of medians taken over the same rounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...runtime.bundle.bench_report import Interval

Rounds = Sequence[npt.NDArray[np.float64]]
"""Seconds of every call, an array for each round."""
DRAWS = 2000
_ENDS = (0.025, 0.975)


def typical(rounds: Rounds) -> npt.NDArray[np.float64]:
    """The median call of each round: calls of one round share the machine's mood, so a round counts once."""
    return np.array([np.median(calls) for calls in rounds])


def median(rounds: Rounds) -> Interval:
    """The median round with its 95 % bootstrap interval. Raises ValueError without a round."""
    values = typical(rounds)
    drawn = np.median(values[_picks(len(values))], axis=1)
    return _interval(float(np.median(values)), drawn)


def ratio(slow: Rounds, fast: Rounds) -> Interval:
    """median(slow) / median(fast). Rounds are drawn in pairs, since a disturbed machine is so for both.

    Raises ValueError where the two were not measured in the same rounds.
    """
    over, under = typical(slow), typical(fast)
    if len(over) != len(under):
        raise ValueError(f"{len(over)} and {len(under)} rounds are not pairs")
    picks = _picks(len(over))
    drawn = np.median(over[picks], axis=1) / np.median(under[picks], axis=1)
    return _interval(float(np.median(over) / np.median(under)), drawn)


def quantile(rounds: Rounds, share: float) -> float:
    """The time that ``share`` of all calls stay within. It is a call that happened: with few calls, the slowest of them."""
    return float(np.quantile(np.concatenate(list(rounds)), share, method="higher"))


def _picks(count: int) -> npt.NDArray[np.int64]:
    if not count:
        raise ValueError("nothing was measured")
    return np.random.default_rng(0).integers(0, count, (DRAWS, count))


def _interval(value: float, drawn: npt.NDArray[np.float64]) -> Interval:
    low, high = np.quantile(drawn, _ENDS)
    return Interval(value, float(low), float(high))
