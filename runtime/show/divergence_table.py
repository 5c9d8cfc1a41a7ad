"""Print the result of ``attnexport debug``: the place first, then errors by module around it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..bundle.divergence import Divergence, ModuleDivergence, TensorError
from .terminal import print_json, stdout_console

AROUND = 6
"""Modules before and after the place; without a place, half the number of modules with the largest growth."""


def print_divergence(console: Console, found: Divergence, *, every: bool, tensors: bool) -> None:
    """Print outputs, place, reproducer, and the table by module."""
    rows = found.modules if every else around(found)
    console.print(f"\n[bold]{escape(found.stage)}[/] on {found.case}, held against {escape(found.reference)}")
    console.print(_modules(rows, found))
    if hidden := len(found.modules) - len(rows):
        console.print(f"[dim]and {hidden} more modules: --all[/]")
    if tensors or len(found.modules) == 1:
        console.print(_tensors(found, found.tensors if tensors else _near(found)))
    for note in found.notes:
        console.print(f"note: {escape(note)}")
    for output in found.outputs:
        if output.fault:
            console.print(f"[bold red]FAIL[/] {escape(output.fault.removeprefix('verify: ').rstrip('.'))}")
    if found.passed:
        console.print(f"[green]pass[/] every output of {escape(found.stage)} is within the gate: nothing diverges")
    if found.place is not None:
        console.print(f"\nthe error comes in at [bold]{escape(found.place.describe())}[/]")
    if found.reproducer is not None:
        made = found.reproducer
        nodes = "1 node alone errs" if made.nodes == 1 else f"{made.nodes} nodes alone err"
        allowed = f"where {made.allowed:.1e} is allowed"
        console.print(f"{nodes} by {number(made.relative)} {allowed}, fed with the original's own tensors:")
        console.print(f"    {escape(made.command)}")


def around(found: Divergence) -> Sequence[ModuleDivergence]:
    """The modules next to the place; without a place, those whose error grows most, in their order."""
    if len(found.modules) <= 2 * AROUND + 1:
        return found.modules
    if found.place is not None and found.place.node:
        at = next((i for i, row in enumerate(found.modules) if _is_place(row, found)), 0)
        return found.modules[max(0, at - AROUND) : at + AROUND + 1]
    by_growth = sorted(found.modules, key=lambda row: row.growth or 0.0, reverse=True)[: 2 * AROUND]
    return [row for row in found.modules if row in by_growth]


def number(value: float | None) -> str:
    """A relative error with two digits."""
    return "-" if value is None else "inf" if math.isinf(value) else "nan" if math.isnan(value) else f"{value:.1e}"


def _is_place(row: ModuleDivergence, found: Divergence) -> bool:
    return found.place is not None and row.module == found.place.module


def _modules(rows: Sequence[ModuleDivergence], found: Divergence) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("module", overflow="fold")
    table.add_column("line", style="dim", overflow="fold")
    for column in ("error in", "error out", "growth"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("type", no_wrap=True)
    for row in rows:
        growth = "-" if row.growth is None else f"{row.growth:.1f}x" if row.growth < 1000 else f"{row.growth:.0e}x"
        table.add_row(
            escape(f"{row.module or '<outermost>'} ({row.kind})" if row.kind else row.module or "<outermost>"),
            escape(row.source), number(row.entering), number(row.leaving), growth, row.type,
            style="bold red" if found.tensor and _is_place(row, found) else None,
        )  # fmt: skip
    table.caption = "error: rms of the difference to the original in FP64, relative to the original's rms"
    table.caption_justify = "left"
    return table


def _near(found: Divergence) -> Sequence[TensorError]:
    """The tensors before and after the place, for a graph without modules."""
    names = [row.name for row in found.tensors]
    at = names.index(found.tensor) if found.tensor in names else len(names)
    return found.tensors[max(0, at - AROUND) : at + AROUND + 1]


def _tensors(found: Divergence, rows: Sequence[TensorError]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("tensor", "node", "line"):
        table.add_column(column)
    for column in ("shape", "error", "largest", "type"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            escape(row.name), escape(row.node), escape(row.source), "x".join(map(str, row.shape)) or "scalar",
            number(row.relative), number(row.max_abs), row.type,
            style="bold red" if row.name == found.tensor else None,
        )  # fmt: skip
    return table


def show_divergence(
    found: Divergence, form: Literal["table", "json", "quiet"], *, every: bool = False, tensors: bool = False
) -> None:
    """Print where a stage diverges from the original; ``quiet``: the command that reproduces it."""
    if form == "json":
        print_json(found.to_json())
    elif form == "table":
        print_divergence(stdout_console(), found, every=every, tensors=tensors)
    elif found.reproducer is not None:
        sys.stdout.write(f"{found.reproducer.command}\n")
