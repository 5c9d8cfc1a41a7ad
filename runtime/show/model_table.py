"""Print the named networks: all of them by family, or one with its options."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from ..spec import TensorSpec
from .terminal import inert, plain_table, print_json, show_parts


def show_models(rows: Sequence[Mapping[str, Any]], *, single: bool, as_json: bool) -> None:
    """Print the rows of ``export/source/catalogue.py``: a table of all, or with ``single`` the only row in full."""
    if as_json:
        print_json(dict(rows[0]) if single else [dict(row) for row in rows])
        return
    closing = f"{len(rows)} networks; multiply-adds are of one item. The options of one: attnexport models NAME"
    show_parts(_single(rows[0]) if single else (_table(rows), closing), width=160)


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    figures = ("parameters", "multiply-adds", "input")
    table = plain_table("name", *figures, "paper", "summary", right=figures)
    table.columns[0].no_wrap = True
    family = ""
    for row in rows:
        if row["family"] != family:
            family = row["family"]
            table.add_row(f"[bold cyan]{inert(family)}[/]")
        inputs = ", ".join(_sizes(TensorSpec.from_json(spec)) for spec in row["inputs"])
        figures = (amount(row["parameters"]), amount(row["multiply_adds"]), inputs)
        table.add_row(inert(f"  {row['name']}"), *figures, inert(row["paper"]), inert(row["summary"]))
    return table


def _single(row: Mapping[str, Any]) -> Iterator[str | Table]:
    yield f"[bold]{inert(row['name'])}[/]  {inert(row['summary'])}"
    table = plain_table("", "", header=False)
    table.add_row("paper", inert(row["paper"]))
    table.add_row("parameters", f"{row['parameters']:,}")
    table.add_row("multiply-adds", f"{row['multiply_adds']:,} of one item")
    for spec in row["inputs"]:
        table.add_row("input", inert(TensorSpec.from_json(spec).describe()))
    table.add_row("outputs", inert(", ".join(row["outputs"])))
    for name, default in row["options"].items():
        table.add_row("option", inert(f"{name} = {json.dumps(default)}"))
    yield table
    yield f"attnexport --arch {row['name']} --random-weights --trt"
    options = inert(json.dumps(row["reduced_options"]))
    yield f"[dim]small, for a try: --kwargs '{options}'[/]" if row["reduced_options"] else ""


def _sizes(spec: TensorSpec) -> str:
    """The sizes of one item: ``3x224x224``, with the optimum of a free axis."""
    return "x".join(str(axis.opt) for axis in spec.axes if axis.symbol != "batch")


def amount(count: int) -> str:
    """A count as text: 25.56 M."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return str(count)
