"""``--target-latency``: the largest batch that a contender runs within a number of milliseconds."""

import time
from collections.abc import Callable

import numpy as np

from ...runtime.bundle.bench_report import Capacity
from .rounds import Clock, Run, Times, warm
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
    size, good, bad = lowest, 0, highest + 1
    while size < bad:
        milliseconds = _measure(prepare(size), clock)
        median, p95 = float(np.median(milliseconds)), quantile([milliseconds], 0.95)
        fits = (p95 if statistic == "p95" else median) <= target
        if fits or not good:
            batch, per_second, calls = size if fits else None, size / median * 1e3, len(milliseconds)
            capacity = Capacity(contender, batch, median, p95, per_second, calls, batch == highest)
        good, bad = (size, bad) if fits else (good, size)
        if not good:
            break
        size = min(2 * good, highest) if bad > highest and good < highest else good + (bad - good + 1) // 2
    return capacity


def _measure(run: Run, clock: Clock) -> Times:
    """Return the milliseconds of each call."""
    warm(run, clock)
    end = time.perf_counter() + SECONDS
    seconds: list[float] = []
    while len(seconds) < CALLS and (len(seconds) < LEAST or time.perf_counter() < end):
        seconds.append(clock.time(run))
    return np.array(seconds) * 1e3
