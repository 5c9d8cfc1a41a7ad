"""Contenders that take turns: in every round each is timed once, so that what slows the machine down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
SETTLE = 0.06
"""Seconds between two turns on the CPU. ONNX Runtime's idle threads spin for 40 ms after a run, OpenMP's for 10 (measured): without
the pause they would take a core from whoever comes next."""
SPAN = 0.003
"""A turn is at least this long; calls that are faster are repeated in it, each timed by itself."""
SHORT = 0.02
"""Below this a turn begins with a call that is not timed: the pause and the others' turns have left the caches cold."""
MOST_CALLS = 100
"""Calls of one turn, however short they are."""
FEWEST = 5
"""Rounds that are measured however long they take: a median of fewer says nothing."""
WARM_CALLS, WARM_SECONDS, MOST_WARM_CALLS = 2, 0.1, 50
"""Untimed calls of each contender before the first round: both of the former, but never more than the latter."""


class TurnError(Exception):
    """A contender raised, the cause, in its turn."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


Run = Callable[[], object]
Times = npt.NDArray[np.float64]


class Clock(Protocol):
    """How one call is timed."""

    settle: float
    """Seconds to wait before a contender's turn."""

    def time(self, run: Run) -> float:
        """Seconds that ``run`` takes until its result is there."""


class WallClock:
    """The time that passes on the wall, for what computes in the caller's own thread or waits for those that do."""

    settle = SETTLE

    def time(self, run: Run) -> float:
        """Seconds from the call to its return."""
        start = time.perf_counter()
        run()
        return time.perf_counter() - start


def warm(run: Run, clock: Clock) -> float:
    """Call until the machine has settled into it; the seconds of the last call."""
    end = time.perf_counter() + WARM_SECONDS
    took = 0.0
    for done in range(MOST_WARM_CALLS):
        if done >= WARM_CALLS and time.perf_counter() > end:
            break
        took = clock.time(run)
    return took


def interleave(
    calls: Mapping[str, Run], *, rounds: int, seconds: float, clock: Clock, heard: Callable[[int], Any] = lambda _: None
) -> dict[str, list[Times]]:
    """The seconds of every call of each contender, round by round; all are warm before the first.

    At most ``rounds`` rounds, fewer (never under ``FEWEST``) where ``seconds`` are over. ``heard`` is told each finished
    round's number. Raises TurnError for the first contender that raises.
    """
    took = {name: _named(name, partial(warm, run, clock)) for name, run in calls.items()}
    repeats = {name: _repeats(seconds) for name, seconds in took.items()}
    times: dict[str, list[Times]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    for done, order in enumerate(_orders(list(calls), rounds)):
        if done >= FEWEST and time.perf_counter() > end:
            break
        for name in order:
            time.sleep(clock.settle)
            times[name].append(_named(name, partial(_turn, calls[name], clock, repeats[name], took[name] < SHORT)))
        heard(done + 1)
    return times


def _turn(run: Run, clock: Clock, repeats: int, cold: bool) -> Times:
    if cold:
        run()
    return np.array([clock.time(run) for _ in range(repeats)])


def _named(name: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception as error:
        raise TurnError(name) from error


def _repeats(took: float) -> int:
    return max(1, min(MOST_CALLS, round(SPAN / max(took, SPAN / MOST_CALLS))))


def _orders(names: list[str], rounds: int) -> Iterator[list[str]]:
    """Everyone comes first in turn, and is as often before as behind each of the others."""
    for done in range(rounds):
        shift = done // 2 % max(1, len(names))
        order = names[shift:] + names[:shift]
        yield order[::-1] if done % 2 else order
