"""Print the named networks: all of them by family, or one with its options."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..spec import TensorSpec
from .terminal import print_json


def show_models(rows: Sequence[Mapping[str, Any]], *, single: bool, as_json: bool) -> None:
    """Print the rows of ``export/source/catalogue.py``: a table of all, or with ``single`` the only row in full."""
    if as_json:
        print_json(dict(rows[0]) if single else [dict(row) for row in rows])
        return
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width to fold at
    if single:
        _show_one(console, rows[0])
    else:
        console.print(_table(rows))
        console.print(
            f"{len(rows)} networks; multiply-adds are of one item. The options of one: attnexport models NAME"
        )


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("name", no_wrap=True)
    for column in ("parameters", "multiply-adds", "input"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("paper", "summary"):
        table.add_column(column)
    family = ""
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            table.add_row(f"[bold cyan]{escape(family)}[/]")
        inputs = ", ".join(sizes(TensorSpec.from_json(spec)) for spec in row["inputs"])
        figures = (amount(row["parameters"]), amount(row["multiply_adds"]), inputs)
        table.add_row(escape(f"  {row['name']}"), *figures, escape(row["paper"]), escape(row["summary"]))
    return table


def _show_one(console: Console, row: Mapping[str, Any]) -> None:
    console.print(f"[bold]{escape(row['name'])}[/]  {escape(row['summary'])}")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_row("paper", escape(row["paper"]))
    table.add_row("parameters", f"{row['parameters']:,}")
    table.add_row("multiply-adds", f"{row['multiply_adds']:,} of one item")
    for spec in row["inputs"]:
        table.add_row("input", escape(TensorSpec.from_json(spec).describe()))
    table.add_row("outputs", escape(", ".join(row["outputs"])))
    for name, default in row["options"].items():
        table.add_row("option", escape(f"{name} = {json.dumps(default)}"))
    console.print(table)
    options = escape(json.dumps(row["reduced_options"]))
    console.print(f"attnexport --arch {row['name']} --random-weights --trt", soft_wrap=True)
    console.print(f"[dim]small, for a try: --kwargs '{options}'[/]" if row["reduced_options"] else "", soft_wrap=True)


def sizes(spec: TensorSpec) -> str:
    """The sizes of one item: ``3x224x224``, with the optimum of a free axis."""
    return "x".join(str(axis.opt) for axis in spec.axes if axis.symbol != "batch")


def amount(count: int) -> str:
    """A count as text: 25.56 M."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return str(count)
