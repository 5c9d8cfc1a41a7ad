"""Signals of the server: SIGTERM and SIGINT stop it, SIGHUP reloads its bundles."""

import signal
import threading
from types import FrameType


class Signals:
    """Collects signals while its ``with`` block runs, in the main thread. ``stops`` are the received SIGTERM and SIGINT."""

    def __init__(self) -> None:
        self.stops: list[int] = []
        self._reload = False
        self._wake = threading.Event()

    def take_reload(self) -> bool:
        """Whether SIGHUP came since the last call."""
        reload, self._reload = self._reload, False
        return reload

    def sleep(self, seconds: float) -> None:
        """Sleep until the time is over or a signal comes."""
        self._wake.wait(seconds)
        self._wake.clear()

    def __enter__(self) -> "Signals":
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._receive) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self.stops.append(number)
        self._wake.set()
