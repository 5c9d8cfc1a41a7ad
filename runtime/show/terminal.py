"""Print to the terminal: the console, plain tables, JSON, sizes as people read them, and the progress of stages."""

import json
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.status import Status
from rich.table import Table

PASS = "[green]pass[/]"
FAIL = "[bold red]FAIL[/]"


def stdout_console() -> Console:
    """A console on standard output, without colours in a file or pipe."""
    # The console keeps the stream itself: while sys.stdout is redirected to hide the prints of libraries, our lines still appear.
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 120  # a file or pipe has no width
    return console


def show_parts(parts: Iterable[RenderableType], *, width: int = 140) -> None:
    """Print tables and lines; ``width`` is the width in a file or pipe."""
    console = stdout_console()
    if not console.is_terminal:
        console.width = width
    for part in parts:
        console.print(part)


def plain_table(
    *columns: str,
    right: Collection[str] = (),
    gap: int = 2,
    header: bool = True,
    caption: str | None = None,
    **kind: Any,
) -> Table:
    """A table without lines: ``right`` are columns of numbers, ``gap`` the spaces between columns, ``kind`` how others fold."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0), show_header=header)
    table.caption, table.caption_justify = caption, "left"
    for column in columns:
        if column in right:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, **kind)
    return table


def size(count: int) -> str:
    """A number of bytes as text: ``1.5 MB``."""
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def show_written(path: Path, kind: str, *, as_json: bool) -> None:
    """Print the path; as JSON under the name ``kind``."""
    if as_json:
        print_json({kind: str(path)})
    else:
        stdout_console().print(f"written: {escape(str(path))}", soft_wrap=True)


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

    def __enter__(self) -> "ConsoleReporter":
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
