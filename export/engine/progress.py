"""The progress of a build as one growing fraction, from TensorRT's nested phases; and the ways to stop a build.

TensorRT's bindings print an exception that leaves a callback, so none may leave one: Ctrl-C waits until the build returns,
and an exception of the reporter is stored and raised afterwards.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ..progress import Reporter

_STEP = 0.002  # smaller advances of a phase are not shown


@dataclass
class _Phase:
    name: str
    parent: str | None
    steps: int
    done: int = 0
    ended: int = 0  # phases that ended inside the current step


class Progress:
    """Converts phase events into ``reporter.progress(fraction, phase)``, and decides when to stop. Thread-safe.

    The number of phases in a step is unknown, so each phase takes half of the rest of its parent's step.
    ``stopped`` is ``""``, ``"time"``, ``"interrupt"`` or ``"error"`` (see ``error``).
    """

    def __init__(self, reporter: Reporter, time_limit_s: float | None, interrupt: threading.Event) -> None:
        self.stopped = ""
        self.error: BaseException | None = None
        self._reporter = reporter
        self._interrupt = interrupt
        self._deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
        self._lock = threading.RLock()
        self._phases: dict[str, _Phase] = {}
        self._shown = (0.0, "")

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase starts inside a step of ``parent`` (None: it is a root)."""
        with self._lock:
            self._phases[name] = _Phase(name, parent, max(1, steps))
            self._show(name)

    def step(self, name: str, step: int) -> bool:
        """Step ``step`` (from 0) of a phase is done. Return whether to continue."""
        with self._lock:
            if phase := self._phases.get(name):
                phase.done, phase.ended = min(phase.steps, max(phase.done, step + 1)), 0
            self._show(name)
            if not self.stopped and self._interrupt.is_set():
                self.stopped = "interrupt"
            if not self.stopped and self._deadline is not None and time.monotonic() >= self._deadline:
                self.stopped = "time"
            return not self.stopped

    def finish(self, name: str) -> None:
        """A phase ends, possibly before all its steps."""
        with self._lock:
            phase = self._phases.pop(name, None)
            if phase and phase.parent in self._phases:
                self._phases[phase.parent].ended += 1

    def complete(self) -> None:
        """The build succeeded: the fraction is 1.0."""
        with self._lock:
            self._show("engine built", done=True)

    def _fraction(self, phase: _Phase) -> float:
        inside = max((self._fraction(p) for p in self._phases.values() if p.parent == phase.name), default=0.0)
        left = 0.5**phase.ended
        return min(1.0, (phase.done + 1 - left + left * inside / 2) / phase.steps)

    def _show(self, text: str, done: bool = False) -> None:
        now = max((self._fraction(p) for p in self._phases.values() if p.parent is None), default=0.0)
        before, phase = self._shown
        fraction = 1.0 if done else max(before, min(now, 0.999))
        if phase == text and fraction - before < _STEP and not done:
            return
        self._shown = (fraction, text)
        try:
            self._reporter.progress(fraction, text)
        except BaseException as error:
            self.stopped, self.error = "error", error


def trt_monitor(trt: Any, progress: Progress) -> Any:
    """Return a ``trt.IProgressMonitor`` for ``progress``. It must outlive each TensorRT object that uses it."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the module of the base class is known at run time only
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return progress.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            progress.finish(phase_name)

    return Monitor()


@contextmanager
def held_interrupts() -> Iterator[threading.Event]:
    """Delay Ctrl-C and requests to stop while native code runs: the event is set at once; the usual handler runs at the end.

    Signals reach the main thread only. In other threads, and for signals without a handler, nothing changes.
    """
    interrupted = threading.Event()
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    previous = {number: handler for number, handler in handlers.items() if callable(handler)}

    def hold(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        interrupted.set()

    for number in previous:
        signal.signal(number, hold)
    try:
        yield interrupted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if received:
            previous[signal.Signals(received[0])](received[0], None)
