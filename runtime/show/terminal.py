"""Print to the terminal: the console, plain tables, JSON, sizes as people read them, and the progress of stages."""

import json
import re
import shlex
import sys
import time
from collections.abc import Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.errors import MarkupError
from rich.markup import escape
from rich.measure import Measurement
from rich.segment import Segment
from rich.status import Status
from rich.table import Table
from rich.text import Text

PASS = "[green]pass[/]"
FAIL = "[bold red]FAIL[/]"


_ORDERS = {
    *range(0x20),
    *range(0x7F, 0xA0),
    0x200E,
    0x200F,
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
}
"""Characters that a terminal may obey, or that change the order in which others are shown; halves of pairs."""
_SHOWN = {order: f"\\x{order:02x}" if order < 0x100 else f"\\u{order:04x}" for order in _ORDERS}
_SHOWN_IN_LINES = {order: shown for order, shown in _SHOWN.items() if order != 0x0A}


def plain(text: str) -> str:
    """Text in which nothing is an order to the terminal: each such character becomes its escape, a line break too."""
    return text.translate(_SHOWN)


def inert(value: object) -> str:
    """A name, path or message as a part of a text with rich's markup. Nothing in it is markup or an order to the terminal."""
    return escape(plain(str(value)))


def command_word(word: str) -> str:
    """A path or name as one word of a shell command, in a text with rich's markup."""
    return inert(shlex.quote(word))


_MARKUP = re.compile(r"(?<!\\)\[(?=[a-z#/@])(?!(?:/|(?:bold |dim )?(?:bold|dim|red|green|yellow|cyan))\])")
"""A bracket that begins none of the tags that this package uses."""


class _Console(Console):
    """A console that knows the tags of this package only; what its callers forgot to make inert is shown as it is."""

    def render_str(self, text: str, **options: Any) -> Text:
        try:
            return super().render_str(_MARKUP.sub(r"\\[", text), **options)
        except MarkupError:
            return super().render_str(escape(text), **options)


class _Inert:
    """A renderable whose texts are plain, whatever its makers forgot."""

    def __init__(self, inside: ConsoleRenderable) -> None:
        self._inside = inside

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._inside, options):
            text = segment.text if segment.control else segment.text.translate(_SHOWN_IN_LINES)
            yield Segment(text, segment.style, segment.control)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._inside)


class _Guard(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Inert(renderable) for renderable in renderables]


def stdout_console() -> Console:
    """A console on standard output, without colours in a file or pipe."""
    # The console keeps the stream itself: while sys.stdout is redirected to hide the prints of libraries, our lines still appear.
    console = _Console(file=sys.stdout, highlight=False, soft_wrap=True)
    console.push_render_hook(_Guard())
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
    sys.stdout.write(json.dumps(value, indent=1).replace("\x7f", "\\u007f") + "\n")


def show_written(path: Path, kind: str, *, as_json: bool) -> None:
    """Print the path; as JSON under the name ``kind``."""
    if as_json:
        print_json({kind: str(path)})
    else:
        stdout_console().print(f"written: {inert(str(path))}", soft_wrap=True)


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
            self._console.print(f"            [dim]{inert(text)}[/]")

    def finished(self, record: _Finished) -> None:
        """Print the stage's line."""
        self._stage = ""
        if not self._silent:
            self._console.print(
                f"[green]+[/] {record.name:<9} [cyan]{record.seconds:6.1f} s[/]  {inert(record.detail)}"
            )

    def _update(self, text: str) -> None:
        if self._status is not None:
            self._status.update(inert(text))
