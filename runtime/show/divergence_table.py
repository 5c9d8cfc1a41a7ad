"""Print the result of ``attnexport debug``: the place first, then errors by module around it."""

import math
import sys
from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from ..bundle.divergence import Divergence, ModuleDivergence, TensorError
from .terminal import inert, plain, plain_table, print_json, stdout_console

AROUND = 6
"""Modules before and after the place; without a place, half the number of modules with the largest growth."""


def print_divergence(console: Console, divergence: Divergence, *, every: bool, tensors: bool) -> None:
    """Print outputs, place, reproducer, and the table by module."""
    rows = divergence.modules if every else around(divergence)
    console.print(
        f"\n[bold]{inert(divergence.stage)}[/] on {divergence.case}, compared with {inert(divergence.reference)}"
    )
    console.print(_modules(rows, divergence))
    if hidden := len(divergence.modules) - len(rows):
        console.print(f"[dim]and {hidden} more modules: --all[/]")
    if tensors or len(divergence.modules) == 1:
        console.print(_tensors(divergence, divergence.tensors if tensors else _near(divergence)))
    for note in divergence.notes:
        console.print(f"note: {inert(note)}")
    for output in divergence.outputs:
        if output.fault:
            console.print(f"[bold red]FAIL[/] {inert(output.fault.removeprefix('verify: ').rstrip('.'))}")
    if divergence.passed:
        console.print(f"[green]pass[/] every output of {inert(divergence.stage)} is within the gate: nothing diverges")
    if divergence.place is not None:
        console.print(f"\nthe error comes in at [bold]{inert(divergence.place.describe())}[/]")
    if divergence.reproducer is not None:
        reproducer = divergence.reproducer
        nodes = "1 node" if reproducer.nodes == 1 else f"{reproducer.nodes} nodes"
        error = f"error {number(reproducer.relative)}, limit {reproducer.allowed:.1e}"
        console.print(f"{nodes} alone, with the original's tensors as inputs: {error}")
        console.print(f"    {inert(reproducer.command)}")


def around(divergence: Divergence) -> Sequence[ModuleDivergence]:
    """The modules next to the place; without a place, those whose error grows most, in their order."""
    if len(divergence.modules) <= 2 * AROUND + 1:
        return divergence.modules
    if divergence.place is not None and divergence.place.node:
        at = next((i for i, row in enumerate(divergence.modules) if _is_place(row, divergence)), 0)
        return divergence.modules[max(0, at - AROUND) : at + AROUND + 1]
    by_growth = sorted(divergence.modules, key=lambda row: row.growth or 0.0, reverse=True)[: 2 * AROUND]
    return [row for row in divergence.modules if row in by_growth]


def number(value: float | None) -> str:
    """A relative error with two digits."""
    return "-" if value is None else "inf" if math.isinf(value) else "nan" if math.isnan(value) else f"{value:.1e}"


def _is_place(row: ModuleDivergence, divergence: Divergence) -> bool:
    return divergence.place is not None and row.module == divergence.place.module


def _modules(rows: Sequence[ModuleDivergence], divergence: Divergence) -> Table:
    figures = ("error in", "error out", "growth")
    caption = "error: rms of the difference to the original in FP64, relative to the original's rms"
    table = plain_table("module", "line", *figures, "type", right=figures, caption=caption, overflow="fold")
    for row in rows:
        module = f"{row.module or '<outermost>'} ({row.kind})" if row.kind else row.module or "<outermost>"
        growth = "-" if row.growth is None else f"{row.growth:.1f}x" if row.growth < 1000 else f"{row.growth:.0e}x"
        table.add_row(
            inert(module), f"[dim]{inert(row.source)}[/]", number(row.entering), number(row.leaving), growth, row.type,
            style="bold red" if divergence.tensor and _is_place(row, divergence) else None,
        )  # fmt: skip
    return table


def _near(divergence: Divergence) -> Sequence[TensorError]:
    """The tensors before and after the place, for a graph without modules."""
    names = [row.name for row in divergence.tensors]
    at = names.index(divergence.tensor) if divergence.tensor in names else len(names)
    return divergence.tensors[max(0, at - AROUND) : at + AROUND + 1]


def _tensors(divergence: Divergence, rows: Sequence[TensorError]) -> Table:
    figures = ("shape", "error", "largest", "type")
    table = plain_table("tensor", "node", "line", *figures, right=figures)
    for row in rows:
        table.add_row(
            inert(row.name), inert(row.node), inert(row.source), "x".join(map(str, row.shape)) or "scalar",
            number(row.relative), number(row.max_abs), row.type,
            style="bold red" if row.name == divergence.tensor else None,
        )  # fmt: skip
    return table


def show_divergence(
    divergence: Divergence, form: Literal["table", "json", "quiet"], *, every: bool = False, tensors: bool = False
) -> None:
    """Print where a stage diverges from the original; ``quiet``: the command that reproduces it."""
    if form == "json":
        print_json(divergence.to_json())
    elif form == "table":
        print_divergence(stdout_console(), divergence, every=every, tensors=tensors)
    elif divergence.reproducer is not None:
        sys.stdout.write(f"{plain(divergence.reproducer.command)}\n")
