"""Time the contenders in turns: each once in every round, so a slow phase of the machine affects all of them."""

import ctypes
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ...runtime.cuda import CudaContext, CudaDriver

T = TypeVar("T")
SETTLE = 0.06
"""Seconds between two turns on the CPU. ONNX Runtime's idle threads spin for 40 ms after a run, OpenMP's for 10 (measured):
without the pause they would take a core from the next contender."""
SPAN = 0.003
"""Seconds of a turn at least; faster calls are repeated, each timed separately."""
SHORT = 0.02
"""A turn of calls faster than this starts with an untimed call: the pause and the other turns leave the caches cold."""
MOST_CALLS = 100
"""Calls of one turn at most."""
FEWEST = 5
"""Rounds that run regardless of the time limit: a median of fewer is meaningless."""
WARM_CALLS, WARM_SECONDS, MOST_WARM_CALLS = 2, 0.1, 50
"""Untimed calls of each contender before the first round: at least these calls and seconds, at most this many calls."""


class TurnError(Exception):
    """The contender ``name`` raised ``__cause__`` in its turn."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


Run = Callable[[], object]
Times = npt.NDArray[np.float64]


class Clock(Protocol):
    """Time one call."""

    settle: float
    """Seconds to wait before a contender's turn."""

    def time(self, run: Run) -> float:
        """Return the seconds until the result of ``run`` is available."""


class WallClock:
    """Wall-clock time, for calls that return when their result is available."""

    settle = SETTLE

    def time(self, run: Run) -> float:
        """Return the seconds from the call to its return."""
        start = time.perf_counter()
        run()
        return time.perf_counter() - start


def warm(run: Run, clock: Clock) -> float:
    """Run the warm-up calls and return the seconds of the last one."""
    end = time.perf_counter() + WARM_SECONDS
    seconds = 0.0
    for done in range(MOST_WARM_CALLS):
        if done >= WARM_CALLS and time.perf_counter() > end:
            break
        seconds = clock.time(run)
    return seconds


def interleave(
    calls: Mapping[str, Run],
    *,
    rounds: int,
    seconds: float,
    clock: Clock,
    on_round: Callable[[int], Any] = lambda _: None,
) -> dict[str, list[Times]]:
    """Return the seconds of every call of each contender, one array for each round, after warm-up calls of all.

    At most ``rounds`` rounds run, fewer (at least ``FEWEST``) after ``seconds``. ``on_round`` is called with the number of
    each finished round. Raises TurnError if a contender raises.
    """
    durations = {name: _named(name, partial(warm, run, clock)) for name, run in calls.items()}
    repeats = {name: _repeats(duration) for name, duration in durations.items()}
    times: dict[str, list[Times]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    for done, order in enumerate(_orders(list(calls), rounds)):
        if done >= FEWEST and time.perf_counter() > end:
            break
        for name in order:
            time.sleep(clock.settle)
            times[name].append(_named(name, partial(_turn, calls[name], clock, repeats[name], durations[name] < SHORT)))
        on_round(done + 1)
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


def _repeats(seconds: float) -> int:
    return max(1, min(MOST_CALLS, round(SPAN / max(seconds, SPAN / MOST_CALLS))))


def _orders(names: list[str], rounds: int) -> Iterator[list[str]]:
    """Yield orders in which each contender is first equally often, and equally often before and after each other one."""
    for done in range(rounds):
        shift = done // 2 % max(1, len(names))
        order = names[shift:] + names[:shift]
        yield order[::-1] if done % 2 else order


class EventClock:
    """Time the work of a call on an idle stream, including launches that the GPU waits for.

    The resolution of an event is half a microsecond.
    """

    settle = 0.0
    """No pause: an idle GPU lowers its clocks."""

    def __init__(self, context: CudaContext, driver: CudaDriver | None = None) -> None:
        self._driver = driver or CudaDriver()
        self._context = context
        context.make_current()
        self._start, self._end = self._event(), self._event()

    def _event(self) -> ctypes.c_void_p:
        event = ctypes.c_void_p()
        self._driver.call("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
        return event

    def time(self, run: Run) -> float:
        """Return the seconds between the two events."""
        stream = ctypes.c_void_p(self._context.stream)
        self._context.make_current()
        self._driver.call("cuEventRecord", self._start, stream)
        run()
        self._driver.call("cuEventRecord", self._end, stream)
        self._driver.call("cuEventSynchronize", self._end)
        milliseconds = ctypes.c_float()
        self._driver.call("cuEventElapsedTime", ctypes.byref(milliseconds), self._start, self._end)
        return milliseconds.value / 1e3


def free_memory(context: CudaContext, driver: CudaDriver | None = None) -> int:
    """Return the free memory of the GPU in bytes."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    context.make_current()
    (driver or CudaDriver()).call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
    return free.value
