"""Print to the terminal: the console, plain tables, JSON, and sizes as people read them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType
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


def plain_table(*columns: str, header: bool = True) -> Table:
    """A table without lines."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), show_header=header)
    for column in columns:
        table.add_column(column)
    return table


def size(count: int) -> str:
    """A number of bytes as text: ``1.5 MB``."""
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def number(value: float | str) -> float:
    """A number of a manifest in JSON, where NaN and infinities are strings."""
    return float(value)


def print_json(value: Any) -> None:
    """Print one JSON value on standard output."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")
