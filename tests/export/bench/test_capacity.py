"""The search for the largest batch within a target, with clocks of known latency."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from attnexport.export.bench import capacity, rounds
from attnexport.export.bench.capacity import largest_batch


class Latency:
    """``seconds(batch, call)`` for each call of a batch."""

    settle = 0.0

    def __init__(self, seconds: Callable[[int, int], float]) -> None:
        self.seconds, self.prepared, self.calls = seconds, [], 0

    def prepare(self, batch: int) -> Callable[[], object]:
        self.prepared.append(batch)
        self.calls = 0
        return lambda: None

    def time(self, run: Callable[[], object]) -> float:
        run()
        self.calls += 1
        return self.seconds(self.prepared[-1], self.calls)


@pytest.fixture(autouse=True)
def short_warming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "WARM_SECONDS", 0.0)


@pytest.mark.parametrize("largest", [*range(1, 20), 31, 32, 33, 63, 64])
def test_the_largest_batch_is_result(largest: int) -> None:
    """One millisecond an item: N items meet a target of N ms, and N + 1 do not."""
    clock = Latency(lambda batch, _: batch / 1e3)
    result = largest_batch("a", clock.prepare, 1, 64, largest + 0.5, "p95", clock)
    assert (result.batch, result.median, result.p95) == (largest, pytest.approx(largest), pytest.approx(largest))
    assert result.per_second == pytest.approx(1000.0)
    assert result.most == (largest == 64)
    assert len(clock.prepared) == len(set(clock.prepared)) <= 13, "no batch is measured twice"


def test_no_batch_fits() -> None:
    clock = Latency(lambda batch, _: batch / 1e3)
    result = largest_batch("a", clock.prepare, 2, 64, 1.0, "p95", clock)
    assert (result.batch, result.median, result.most, clock.prepared) == (None, pytest.approx(2.0), False, [2])
    assert result.per_second == pytest.approx(1000.0)


@pytest.mark.parametrize(("statistic", "batch"), [("p95", 4), ("median", 8)])
def test_one_call_in_ten_is_slow(statistic: str, batch: int) -> None:
    """It takes twice as long: the 95th percentile changes, the median does not."""
    clock = Latency(lambda batch, call: batch / 1e3 * (2 if call % 10 == 0 else 1))
    assert largest_batch("a", clock.prepare, 1, 64, 8.0, statistic, clock).batch == batch


def test_a_range_of_one_batch() -> None:
    clock = Latency(lambda batch, _: 0.001)
    result = largest_batch("a", clock.prepare, 3, 3, 5.0, "median", clock)
    assert (result.batch, result.most, result.calls) == (3, True, capacity.CALLS)
