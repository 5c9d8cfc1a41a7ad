"""What a person sees on the terminal: one live line per stage, and tables at the end. JSON for machines."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Any, Literal, Protocol

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

PASS, FAIL = "[green]pass[/]", "[bold red]FAIL[/]"


class _Finished(Protocol):
    name: str
    seconds: float
    detail: str


def _console() -> Console:
    # The stream is held: libraries' prints are swallowed by redirecting sys.stdout, and our lines must not go with them.
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = 120  # a file or a pipe has no width to fold at
    return console


class ConsoleReporter:
    """A live line for the running stage, a finished line with its time for each stage that is done. ``silent`` shows nothing."""

    def __init__(self, *, silent: bool = False) -> None:
        self._console = _console()
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
            self._console.print(f"[red]x[/] {self._stage:<8}")

    def started(self, stage: str) -> None:
        """Show the stage as running."""
        self._stage, self._since = stage, time.monotonic()
        self._update(stage)

    def progress(self, done: float, text: str) -> None:
        """Show how far the running stage is."""
        self._update(f"{self._stage} {done:4.0%} {time.monotonic() - self._since:5.1f} s  {text}")

    def note(self, text: str) -> None:
        """Print a fact under the running stage."""
        if not self._silent:
            self._console.print(f"           [dim]{escape(text)}[/]")

    def finished(self, record: _Finished) -> None:
        """Print the stage's line."""
        self._stage = ""
        if not self._silent:
            self._console.print(f"[green]+[/] {record.name:<8} [cyan]{record.seconds:6.1f} s[/]  {escape(record.detail)}")

    def _update(self, text: str) -> None:
        if self._status is not None:
            self._status.update(escape(text))


def show_result(result: dict[str, Any], form: Literal["table", "json", "quiet"]) -> None:
    """Print the end of an export: a table of what was written and how it did, then what to type next."""
    if form == "json":
        print_json(result)
        return
    if form == "quiet":
        sys.stdout.write(f"{result['bundle']}\n")
        return
    console = _console()
    console.print(_result_table(result["manifest"]))
    for failure in result["failures"]:
        console.print(f"{FAIL} {escape(failure)}")
    bundle = escape(result["bundle"])
    console.print(f"\nwritten: [bold]{bundle}[/]")
    console.print(f"next:    attnexport check {bundle}     attnexport inspect {bundle}")


def _result_table(manifest: dict[str, Any]) -> Table:
    """Stage, file, size, error ratio, top-1 and verdict; the output's name where there are several."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    several = len(manifest["outputs"]) > 1
    for column in ("stage", *(("output",) if several else ()), "file"):
        table.add_column(column, no_wrap=True)
    for column in ("size", "error", "top-1"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    files = manifest["files"]
    ran: set[str] = set()
    for record in manifest["parity"]:
        file, gate, top1 = record["file"], record["gate"], record["detail"].get("top1")
        table.add_row(
            record["stage"],
            *((escape(record["output"]),) if several else ()),
            escape(file),
            size(files[file]["bytes"]),
            f"{number(gate['ratio']):.2f}x",
            f"{top1['agreement']:.2%}" if top1 else "-",
            PASS if gate["passed"] else FAIL,
        )
        ran.add(file)
    for engine in manifest["engines"]:
        if engine["file"] not in ran:
            row = (escape(engine["file"]), size(engine["bytes"]), "-", "-", "[yellow]built[/], not run: no GPU")
            table.add_row(f"engine-{engine['precision']}", *(("-",) if several else ()), *row)
    table.caption = "error: rms against the original in FP64, as a multiple of PyTorch's own error at that precision"
    table.caption_justify = "left"
    return table


def size(count: int) -> str:
    """Bytes as people read them."""
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def number(value: float | str) -> float:
    """A figure of a manifest, where NaN and infinities are strings."""
    return float(value)


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")
