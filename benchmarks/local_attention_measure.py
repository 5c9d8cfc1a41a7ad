"""Interleaved timing in one process, and what may be said of the ratio of two medians: as ``attnexport bench`` measures it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attnexport.export.bench import statistics
from attnexport.export.bench.rounds import WallClock, interleave

THREADS = 2
"""Of every contender, and of the matrix product that the arithmetic limit is taken from."""

Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ratio:
    """A ratio of medians with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f}x"


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int, budget: float) -> dict[str, Times]:
    """Seconds per call of each contender in each round; at most ``rounds`` of them, fewer where ``budget`` seconds are over."""
    found = interleave(calls, rounds=rounds, seconds=budget, clock=WallClock())
    return {name: statistics.typical(turns) for name, turns in found.items()}


def ratio(slow: Times, fast: Times) -> Ratio:
    """median(slow) / median(fast); rounds are drawn as pairs, since a disturbed machine is so for both."""
    found = statistics.ratio(list(slow[:, None]), list(fast[:, None]))
    return Ratio(found.value, found.low, found.high)


def geometric_mean(values: list[float]) -> float | None:
    """The mean of ratios; None of nothing."""
    return float(np.exp(np.mean(np.log(values)))) if values else None
