"""The order of the turns and the timed calls, with a clock that knows the time of each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from attnexport.export.bench import rounds as module
from attnexport.export.bench.rounds import FEWEST, MOST_CALLS, TurnError, WallClock, interleave


class ScriptedClock:
    """A clock that returns the given seconds of each contender and records the order of the calls."""

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


def race(
    seconds: dict[str, float], rounds: int, budget: float = 1e9
) -> tuple[ScriptedClock, dict[str, list[list[float]]]]:
    clock = ScriptedClock(seconds)
    times = interleave({name: clock.run(name) for name in seconds}, rounds=rounds, seconds=budget, clock=clock)
    return clock, {name: [calls.tolist() for calls in rounds_] for name, rounds_ in times.items()}


def test_each_contender_is_timed_once_a_round_and_first_equally_often() -> None:
    clock, times = race({"a": 1.0, "b": 2.0, "c": 3.0}, 6)
    assert times == {"a": [[1.0]] * 6, "b": [[2.0]] * 6, "c": [[3.0]] * 6}
    turns = clock.timed[2 * 3 :]  # after two warm calls of each
    orders = ["".join(turns[i : i + 3]) for i in range(0, 18, 3)]
    assert Counter(order[0] for order in orders) == {"a": 2, "b": 2, "c": 2}
    before = Counter((order[i], order[j]) for order in orders for i in range(3) for j in range(i + 1, 3))
    assert set(before.values()) == {3}


def test_a_long_call_is_timed_once_a_turn_and_a_short_call_often() -> None:
    clock, times = race({"long": 0.5, "short": 0.0005, "tiny": 1e-7}, 5)
    assert [len(times[name][0]) for name in ("long", "short", "tiny")] == [1, 6, MOST_CALLS]
    assert all(value == 0.0005 for turn in times["short"] for value in turn)
    untimed = Counter(clock.calls) - Counter(clock.timed)
    assert untimed == {"short": 5, "tiny": 5}, "a short call is preceded by one that fills the caches"


@pytest.mark.parametrize(("rounds", "done"), [(3, 3), (20, FEWEST)])
def test_the_time_limit_ends_after_the_fewest_rounds(rounds: int, done: int) -> None:
    _, times = race({"a": 1.0}, rounds, budget=0.0)
    assert len(times["a"]) == done


def test_each_round_is_reported() -> None:
    reported: list[int] = []
    clock = ScriptedClock({"a": 1.0})
    interleave({"a": clock.run("a")}, rounds=3, seconds=1e9, clock=clock, on_round=reported.append)
    assert reported == [1, 2, 3]


def test_without_contenders_there_are_no_rounds() -> None:
    assert interleave({}, rounds=3, seconds=1.0, clock=ScriptedClock({})) == {}


def test_the_contender_that_raises_is_named() -> None:
    def fail() -> None:
        raise ValueError("no memory")

    clock = ScriptedClock({"a": 1.0})
    with pytest.raises(TurnError) as raised:
        interleave({"a": clock.run("a"), "b": fail}, rounds=3, seconds=1e9, clock=clock)
    assert raised.value.name == "b"
    assert str(raised.value.__cause__) == "no memory"


def test_the_wall_clock_times_the_call_itself() -> None:
    import time

    assert WallClock().time(lambda: time.sleep(0.02)) >= 0.02
