"""docs/systems/README.md's table from measured rows, put between two marks; the rest of the page is left as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from attnexport.models import registry
from attnexport.runtime.model_table import amount

BEGIN, END = "<!-- table: written by benchmarks/systems.py -->", "<!-- end of table -->"
HEAD = (
    "| system | network | parameters | operators rewritten | FP32 error | FP16 error | top-1 | engines FP32, FP16 | plain / ours |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A row for each network, families in the registry's order, and the names that have none.

    Raises ValueError for no rows, or a name that is not known.
    """
    by_name = {row["name"]: row for row in rows}
    if not by_name:
        raise ValueError("there are no rows: measure first")
    if unknown := sorted(set(by_name) - set(registry.names())):
        raise ValueError(f"{unknown[0]!r} is not in the registry: measure again")
    lines = [HEAD]
    for family, names in registry.families().items():
        lines += [_line(family, by_name[name]) for name in names if name in by_name]
    if missing := [name for name in registry.names() if name not in by_name]:
        lines += ["", f"Not measured yet: {', '.join(f'`{name}`' for name in missing)}."]
    return "\n".join(lines)


def _line(family: str, row: Mapping[str, Any]) -> str:
    kinds: Counter[str] = Counter()
    for what, count in row["rewritten"].items():  # heads and strides, after the comma, are in the system's page
        kinds[what.partition(",")[0]] += count
    rewritten = "; ".join(f"{count} {what}" for what, count in kinds.items()) or "none"
    times = row["times_faster"]
    cells = (
        family,
        f"`{row['name']}`",
        amount(row["parameters"]),
        rewritten,
        f"{row['fp32_ratio']:.2f}",
        f"{row['fp16_ratio']:.2f}",
        "-" if row["top1"] is None else f"{row['top1']:.0%}",
        f"{row['fp32_engine_s']:.1f} s, {row['fp16_engine_s']:.1f} s",
        f"plain fails: {times}" if isinstance(times, str) else f"{times:.2f}",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
