"""Print the rows and the verdict of a check."""

from __future__ import annotations

from rich.markup import escape

from ..check.check_rows import CheckResult
from .terminal import FAIL, PASS, plain_table, print_json, stdout_console


def show_check(result: CheckResult, *, as_json: bool) -> None:
    """Print a row for each file and output, each failure, and the verdict."""
    if as_json:
        print_json(result.to_json())
        return
    console = stdout_console()
    console.print(f"{result.files} files match their hashes; {result.cases} golden cases")
    table = plain_table("stage", "file", "output", "error", "verdict", "run by")
    for row in result.rows:
        verdict = {"passed": PASS, "failed": FAIL}.get(row.verdict, f"[yellow]{row.verdict}[/]")
        error = "-" if row.ratio is None else f"{row.ratio:.2f}x"
        table.add_row(row.stage, escape(row.file), escape(row.output), error, verdict, escape(row.how or row.reason))
    console.print(table)
    for row in result.rows:
        if row.verdict == "failed":
            console.print(f"{FAIL} {escape(row.file)}, output {escape(row.output)}: {escape(row.reason)}")
    console.print("[green]bundle verified[/]" if result.passed else "[bold red]bundle not verified[/]")
