"""The tables of docs/systems from measured rows: README.md's of every network, and a mechanism's of those that its page names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from attnexport.models import registry
from attnexport.runtime.show.model_table import amount

BEGIN, END = "<!-- table: written by benchmarks/systems.py -->", "<!-- end of table -->"
COLUMNS = (
    "network", "parameters", "operators rewritten", "FP32 error", "FP16 error", "top-1", "engines FP32, FP16", "plain / ours",
)  # fmt: skip


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """A row for each network, families in the registry's order, and the names that have none.

    Raises ValueError for no rows, or a name that is not known.
    """
    by_name = {row["name"]: row for row in rows}
    if not by_name:
        raise ValueError("there are no rows: measure first")
    if unknown := sorted(set(by_name) - set(registry.names())):
        raise ValueError(f"{unknown[0]!r} is not in the registry: measure again")
    lines = _head("system", *COLUMNS)
    for family, names in registry.families().items():
        lines += [_line(family, *_cells(by_name[name])) for name in names if name in by_name]
    return "\n".join(lines + _missing(registry.names(), by_name))


def page_table(rows: Iterable[Mapping[str, Any]], page: str) -> str | None:
    """A row for each network that the page's first paragraph names, in its order, and the names without one; None where it names none."""
    by_name = {row["name"]: row for row in rows}
    names = [name for name in re.findall(r"`(\w+)`", page.split("\n\n")[1]) if name in registry.names()]
    if not names:
        return None
    lines = [_line(*_cells(by_name[name])) for name in names if name in by_name]
    return "\n".join(_head(*COLUMNS) + lines + _missing(names, by_name))


def _missing(names: Iterable[str], by_name: Collection[str]) -> list[str]:
    missing = [f"`{name}`" for name in names if name not in by_name]
    return ["", f"Not measured yet: {', '.join(missing)}."] if missing else []


def _head(*columns: str) -> list[str]:
    return [_line(*columns), "|" + "---|" * len(columns)]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    kinds: Counter[str] = Counter()
    for what, count in row["rewritten"].items():  # heads and strides, after the comma, are in the system's page
        kinds[what.partition(",")[0]] += count
    rewritten = "; ".join(f"{count} {what}" for what, count in kinds.items()) or "none"
    times = row["times_faster"]
    return (
        f"`{row['name']}`",
        amount(row["parameters"]),
        rewritten,
        f"{row['fp32_ratio']:.2f}",
        f"{row['fp16_ratio']:.2f}",
        "-" if row["top1"] is None else f"{row['top1']:.0%}",
        f"{row['fp32_engine_s']:.1f} s, {row['fp16_engine_s']:.1f} s",
        f"plain fails: {times}" if isinstance(times, str) else f"{times:.2f}",
    )


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
