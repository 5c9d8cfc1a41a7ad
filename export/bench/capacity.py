"""``--target-latency``: the largest batch that a contender runs within so many milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ...runtime.bundle.bench_report import Capacity
from .rounds import Clock, Run, warm
from .statistics import quantile

CALLS = 40
"""Calls that a batch is judged by: of so many the 95th percentile leaves two out."""
SECONDS = 4.0
"""... or as many as fit in here, but not fewer than ``LEAST``."""
LEAST = 10


def largest_batch(
    contender: str,
    prepare: Callable[[int], Run],
    lowest: int,
    highest: int,
    target: float,
    statistic: str,
    clock: Clock,
) -> Capacity:
    """Doubling from the smallest batch until one misses the target, then halving the gap between.

    ``prepare`` binds a batch. ``target`` is in milliseconds. Latency is taken to grow with the batch; what is said of the
    batch that is found was measured on that batch.
    """
    good: tuple[int, _Measured] | None = None
    size, bad, missed = lowest, highest + 1, None
    while size < bad:
        found = _measured(prepare(size), clock)
        if found.of(statistic) <= target:
            good = size, found
        else:
            bad, missed = size, found
        if good is None:
            break
        doubled = 2 * good[0]
        size = min(doubled, highest) if bad > highest and good[0] < highest else good[0] + (bad - good[0] + 1) // 2
    measured = good[1] if good is not None else missed
    assert measured is not None  # the smallest batch was measured in any case
    batch = good[0] if good is not None else None
    return Capacity(
        contender,
        batch,
        measured.median,
        measured.p95,
        (batch or lowest) / measured.median * 1e3,
        measured.calls,
        batch == highest,
    )


class _Measured:
    """Milliseconds of one batch."""

    def __init__(self, seconds: list[float]) -> None:
        values = np.array(seconds) * 1e3
        self.median, self.p95, self.calls = float(np.median(values)), quantile([values], 0.95), len(seconds)

    def of(self, statistic: str) -> float:
        return self.p95 if statistic == "p95" else self.median


def _measured(run: Run, clock: Clock) -> _Measured:
    warm(run, clock)
    end = time.perf_counter() + SECONDS
    seconds: list[float] = []
    while len(seconds) < CALLS and (len(seconds) < LEAST or time.perf_counter() < end):
        seconds.append(clock.time(run))
    return _Measured(seconds)
