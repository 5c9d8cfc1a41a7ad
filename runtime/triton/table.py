"""Print the written models and remarks on each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from ..show.terminal import plain_table, print_json, show_parts
from .options import WrittenModel


def show_models(written: Sequence[WrittenModel], out: Path, *, as_json: bool) -> None:
    """Print the models of a repository."""
    if as_json:
        print_json({"repository": str(out), "models": [model.to_json() for model in written]})
        return
    table = plain_table("model", "version", "backend", "grouped", "runs")
    for model in written:
        grouped = f"up to {model.max_batch}" if model.max_batch else "no"
        table.add_row(*map(escape, (model.name, str(model.version), model.backend, grouped, model.how)))
    notes = [f"[dim]{escape(f'{model.name}: {note}')}[/]" for model in written for note in model.notes]
    served = ", ".join(model.name for model in written if model.role in ("model", "ensemble"))
    where = f"\nwritten: [bold]{escape(str(out))}[/]   serve it: tritonserver --model-repository={escape(str(out))}"
    show_parts([table, *notes, where, f"clients call {escape(served)}"])
