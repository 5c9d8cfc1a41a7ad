"""Interleaved timing in one process, and what may be said of the ratio of two medians."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

THREADS = 2
"""Of every contender, and of the matrix product that the arithmetic limit is taken from."""
SETTLE = 0.06
"""Seconds between two contenders' turns. ONNX Runtime's idle threads spin for 40 ms after a run, OpenMP's for 10 (measured): without
the pause they would take a core from whoever comes next."""
SHORT = 0.02
"""Below this a call is preceded by an untimed one: the pause and the others' turns have left the caches cold."""
SPAN = 0.003
"""A timed turn is at least this long; faster calls are repeated in it."""

FEWEST = 5
"""Rounds that are measured however long they take: a median of fewer says nothing."""

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
    """Seconds per call of each contender in each round; the order turns from round to round.

    Two calls of each warm up. At most ``rounds`` rounds, fewer (never under ``FEWEST``) where ``budget`` seconds are over.
    """
    first = {name: _warm(call) for name, call in calls.items()}
    repeats = {name: max(1, round(SPAN / max(seconds, SPAN / 1000))) for name, seconds in first.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    names, end = list(calls), time.perf_counter() + budget
    for done in range(rounds):
        if done >= FEWEST and time.perf_counter() > end:
            break
        shift = done % len(names)
        for name in names[shift:] + names[:shift]:
            time.sleep(SETTLE)
            if first[name] < SHORT:
                calls[name]()
            start = time.perf_counter()
            for _ in range(repeats[name]):
                calls[name]()
            samples[name].append((time.perf_counter() - start) / repeats[name])
    return {name: np.array(values) for name, values in samples.items()}


def _warm(call: Callable[[], object]) -> float:
    call()
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ratio(slow: Times, fast: Times, draws: int = 2000) -> Ratio:
    """median(slow) / median(fast); rounds are drawn as pairs, since a disturbed machine is so for both."""
    picks = np.random.default_rng(0).integers(0, len(slow), (draws, len(slow)))
    drawn = np.median(slow[picks], 1) / np.median(fast[picks], 1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Ratio(float(np.median(slow) / np.median(fast)), float(low), float(high))


def geometric_mean(values: list[float]) -> float | None:
    """The mean of ratios; None of nothing."""
    return float(np.exp(np.mean(np.log(values)))) if values else None
