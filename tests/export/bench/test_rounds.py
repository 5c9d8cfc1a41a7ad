"""Turns: who is called when, and what of it is timed. The clock is told what each call takes, so nothing here depends on a machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from attnexport.export.bench import rounds as module
from attnexport.export.bench.rounds import FEWEST, MOST_CALLS, TurnError, WallClock, interleave


class Told:
    """Says what it is told of a call's length, and keeps the order of the calls."""

    settle = 0.0

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds, self.calls, self.timed = seconds, [], []
        self.last = ""

    def run(self, name: str) -> Callable[[], None]:
        def call() -> None:
            self.calls.append(name)
            self.last = name

        return call

    def time(self, run: Callable[[], object]) -> float:
        run()
        self.timed.append(self.last)
        return self.seconds[self.last]


@pytest.fixture(autouse=True)
def short_warming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WARM_SECONDS", 0.0)


def race(seconds: dict[str, float], rounds: int, budget: float = 1e9) -> tuple[Told, dict[str, list[list[float]]]]:
    clock = Told(seconds)
    times = interleave({name: clock.run(name) for name in seconds}, rounds=rounds, seconds=budget, clock=clock)
    return clock, {name: [calls.tolist() for calls in found] for name, found in times.items()}


def test_each_is_timed_once_a_round_and_everyone_comes_first_in_turn() -> None:
    clock, times = race({"a": 1.0, "b": 2.0, "c": 3.0}, 6)
    assert times == {"a": [[1.0]] * 6, "b": [[2.0]] * 6, "c": [[3.0]] * 6}
    turns = clock.timed[2 * 3 :]  # after two warm calls of each
    orders = ["".join(turns[i : i + 3]) for i in range(0, 18, 3)]
    assert Counter(order[0] for order in orders) == {"a": 2, "b": 2, "c": 2}
    before = Counter((order[i], order[j]) for order in orders for i in range(3) for j in range(i + 1, 3))
    assert set(before.values()) == {3}


def test_a_long_call_is_timed_once_a_turn_and_a_short_one_often() -> None:
    clock, times = race({"long": 0.5, "short": 0.0005, "tiny": 1e-7}, 5)
    assert [len(times[name][0]) for name in ("long", "short", "tiny")] == [1, 6, MOST_CALLS]
    assert all(value == 0.0005 for turn in times["short"] for value in turn)
    untimed = Counter(clock.calls) - Counter(clock.timed)
    assert untimed == {"short": 5, "tiny": 5}, "a short call is preceded by one that fills the caches"


@pytest.mark.parametrize(("rounds", "done"), [(3, 3), (20, FEWEST)])
def test_out_of_time_it_ends_after_the_fewest_rounds(rounds: int, done: int) -> None:
    _, times = race({"a": 1.0}, rounds, budget=0.0)
    assert len(times["a"]) == done


def test_each_round_is_heard_of() -> None:
    heard: list[int] = []
    clock = Told({"a": 1.0})
    interleave({"a": clock.run("a")}, rounds=3, seconds=1e9, clock=clock, heard=heard.append)
    assert heard == [1, 2, 3]


def test_nobody_is_no_rounds() -> None:
    assert interleave({}, rounds=3, seconds=1.0, clock=Told({})) == {}


def test_who_raises_is_named() -> None:
    def fail() -> None:
        raise ValueError("no memory")

    clock = Told({"a": 1.0})
    with pytest.raises(TurnError) as raised:
        interleave({"a": clock.run("a"), "b": fail}, rounds=3, seconds=1e9, clock=clock)
    assert raised.value.name == "b"
    assert str(raised.value.__cause__) == "no memory"


def test_the_wall_clock_times_the_call_itself() -> None:
    import time

    assert WallClock().time(lambda: time.sleep(0.02)) >= 0.02
