"""Print the path of a file that was written."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from .terminal import print_json, stdout_console


def show_written(path: Path, kind: str, *, as_json: bool) -> None:
    """Print the path; as JSON under the name ``kind``."""
    if as_json:
        print_json({kind: str(path)})
    else:
        stdout_console().print(f"written: {escape(str(path))}", soft_wrap=True)
