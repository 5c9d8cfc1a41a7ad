"""``--target-latency``: the largest batch that a contender runs within a number of milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ...runtime.bundle.bench_report import Capacity
from .rounds import Clock, Run, warm
from .statistics import quantile

CALLS = 40
"""Timed calls of each batch: the 95th percentile of 40 calls leaves two out."""
SECONDS = 4.0
"""Time limit for these calls; at least ``LEAST`` of them run."""
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
    """Double the smallest batch until one misses the target, then halve the gap.

    ``prepare`` binds a batch; ``target`` is in milliseconds. The search assumes that latency grows with the batch. The
    returned figures are measured on the returned batch.
    """
    good: tuple[int, _Latency] | None = None
    size, bad, missed = lowest, highest + 1, None
    while size < bad:
        measured = _measure(prepare(size), clock)
        if measured.of(statistic) <= target:
            good = size, measured
        else:
            bad, missed = size, measured
        if good is None:
            break
        doubled = 2 * good[0]
        size = min(doubled, highest) if bad > highest and good[0] < highest else good[0] + (bad - good[0] + 1) // 2
    latency = good[1] if good is not None else missed
    assert latency is not None  # the smallest batch is always measured
    batch = good[0] if good is not None else None
    return Capacity(
        contender,
        batch,
        latency.median,
        latency.p95,
        (batch or lowest) / latency.median * 1e3,
        latency.calls,
        batch == highest,
    )


class _Latency:
    """The latency of one batch in milliseconds."""

    def __init__(self, seconds: list[float]) -> None:
        values = np.array(seconds) * 1e3
        self.median, self.p95, self.calls = float(np.median(values)), quantile([values], 0.95), len(seconds)

    def of(self, statistic: str) -> float:
        return self.p95 if statistic == "p95" else self.median


def _measure(run: Run, clock: Clock) -> _Latency:
    warm(run, clock)
    end = time.perf_counter() + SECONDS
    seconds: list[float] = []
    while len(seconds) < CALLS and (len(seconds) < LEAST or time.perf_counter() < end):
        seconds.append(clock.time(run))
    return _Latency(seconds)
