"""Progress on the terminal: a live line for the running stage, a line for each finished stage."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from rich.markup import escape
from rich.status import Status

from .terminal import stdout_console

if TYPE_CHECKING:
    pass


class _Finished(Protocol):
    @property
    def name(self) -> str: ...

    seconds: float
    detail: str


class ConsoleReporter:
    """Prints a live line for the running stage and a line with the time for each finished stage. ``silent`` prints nothing."""

    def __init__(self, *, silent: bool = False) -> None:
        self._console = stdout_console()
        self._silent = silent
        self._status: Status | None = None
        self._stage = ""
        self._since = 0.0

    def __enter__(self) -> ConsoleReporter:
        if not self._silent and self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
        if error is not None and self._stage and not self._silent:
            self._console.print(f"[red]x[/] {self._stage:<9}")

    def started(self, stage: str) -> None:
        """Show the stage as running."""
        self._stage, self._since = stage, time.monotonic()
        self._update(stage)

    def progress(self, done: float, text: str) -> None:
        """Show the progress of the running stage: ``done`` in 0..1."""
        self._update(f"{self._stage} {done:4.0%} {time.monotonic() - self._since:5.1f} s  {text}")

    def note(self, text: str) -> None:
        """Print a fact under the running stage."""
        if not self._silent:
            self._console.print(f"            [dim]{escape(text)}[/]")

    def finished(self, record: _Finished) -> None:
        """Print the stage's line."""
        self._stage = ""
        if not self._silent:
            self._console.print(
                f"[green]+[/] {record.name:<9} [cyan]{record.seconds:6.1f} s[/]  {escape(record.detail)}"
            )

    def _update(self, text: str) -> None:
        if self._status is not None:
            self._status.update(escape(text))
