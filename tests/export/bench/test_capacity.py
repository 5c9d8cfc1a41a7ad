"""The largest batch within a target, over clocks that are told the latency of each batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from attnexport.export.bench import capacity, rounds
from attnexport.export.bench.capacity import largest_batch


class Latency:
    """``seconds(batch, call)`` for each call of a batch."""

    settle = 0.0

    def __init__(self, seconds: Callable[[int, int], float]) -> None:
        self.seconds, self.asked, self.calls = seconds, [], 0

    def prepare(self, batch: int) -> Callable[[], object]:
        self.asked.append(batch)
        self.calls = 0
        return lambda: None

    def time(self, run: Callable[[], object]) -> float:
        run()
        self.calls += 1
        return self.seconds(self.asked[-1], self.calls)


@pytest.fixture(autouse=True)
def short_warming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "WARM_SECONDS", 0.0)


@pytest.mark.parametrize("largest", [*range(1, 20), 31, 32, 33, 63, 64])
def test_it_is_the_largest(largest: int) -> None:
    """A millisecond an item: a target of N ms is met by N items and not by one more, whatever N is."""
    clock = Latency(lambda batch, _: batch / 1e3)
    found = largest_batch("a", clock.prepare, 1, 64, largest + 0.5, "p95", clock)
    assert (found.batch, found.median, found.p95) == (largest, pytest.approx(largest), pytest.approx(largest))
    assert found.per_second == pytest.approx(1000.0)
    assert found.most == (largest == 64)
    assert len(clock.asked) == len(set(clock.asked)) <= 13, "no batch is measured twice"


def test_none_fits() -> None:
    clock = Latency(lambda batch, _: batch / 1e3)
    found = largest_batch("a", clock.prepare, 2, 64, 1.0, "p95", clock)
    assert (found.batch, found.median, found.most, clock.asked) == (None, pytest.approx(2.0), False, [2])
    assert found.per_second == pytest.approx(1000.0)


@pytest.mark.parametrize(("statistic", "batch"), [("p95", 4), ("median", 8)])
def test_one_call_in_ten_is_slow(statistic: str, batch: int) -> None:
    """Twice as slow: the median does not see it, the 95th percentile does."""
    clock = Latency(lambda batch, call: batch / 1e3 * (2 if call % 10 == 0 else 1))
    assert largest_batch("a", clock.prepare, 1, 64, 8.0, statistic, clock).batch == batch


def test_a_range_of_one_batch() -> None:
    clock = Latency(lambda batch, _: 0.001)
    found = largest_batch("a", clock.prepare, 3, 3, 5.0, "median", clock)
    assert (found.batch, found.most, found.calls) == (3, True, capacity.CALLS)
