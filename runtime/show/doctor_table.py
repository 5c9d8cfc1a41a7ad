"""Print what is installed here, and how operators measured here differ from the shipped matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from ..doctor import Component
from .terminal import plain_table, print_json, stdout_console


def show_diagnosis(components: Sequence[Component], *, as_json: bool) -> None:
    """Print the installed components and the targets that work here, then the commands that install the others."""
    if as_json:
        print_json([component.to_json() for component in components])
        return
    marks = {"ok": "[green]ok[/]", "missing": "[yellow]missing[/]", "broken": "[bold red]broken[/]"}
    table = plain_table("", "version", "", "")
    for c in components:
        table.add_row(c.component, c.version, marks.get(c.status, c.status), escape(c.detail))
    console = stdout_console()
    console.print(table)
    for remedy in dict.fromkeys(c.remedy for c in components if c.remedy):
        console.print(f"[dim]$[/] {escape(remedy)}" if remedy.startswith("pip") else escape(remedy))


def show_probe(measured: Sequence[dict[str, Any]], differing: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print the operators whose measured status differs from the shipped matrix."""
    if as_json:
        print_json({"measured": measured, "differences": differing})
        return
    console = stdout_console()
    if differing:
        table = plain_table("target", "operator", "here", "shipped", "why")
        for entry in differing:
            here, shipped = entry["here"], entry["shipped"] or {"status": "not measured"}
            facts = " ".join(f"{name}={value}" for name, value in here["facts"].items())
            words = (entry["target"], f"{here['op']}-{here['opset']} {facts}", here["status"], shipped["status"])
            table.add_row(*map(escape, words), escape(here.get("reason", "")))
        console.print(table)
    count = sum(len(matrix["rows"]) for matrix in measured)
    difference = f"{len(differing)} differ from" if differing else "all agree with"
    console.print(f"{count} measurements, {difference} the matrix that attnexport ships")
