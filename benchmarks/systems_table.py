"""docs/systems/README.md's table from measured rows, put between two marks; the rest of the page is left as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attnexport.models import registry
from attnexport.models.distinct import reduced
from attnexport.runtime.model_table import amount

BEGIN, END = "<!-- table: written by benchmarks/systems.py -->", "<!-- end of table -->"
HEAD = (
    "| system | networks | parameters | operators rewritten | FP32 error | FP16 error | top-1 | engines FP32, FP16 | plain / ours |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
WHOLE = "Measured on the whole networks, random weights."
REDUCED = (
    "Measured on REDUCED networks: the same operators on fewer blocks, channels and pixels, random weights; names that come to "
    "the same network share a row. `make sweep` measures the whole ones and writes this table anew."
)


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The sentence on what was measured and a row for each, families in the registry's order.

    Raises ValueError where reduced and whole networks are mixed, or a name is not known.
    """
    by_name = {row["name"]: row for row in rows}
    kinds = {bool(row["reduced"]) for row in by_name.values()}
    if len(kinds) != 1:
        raise ValueError(f"{len(by_name)} rows are of {len(kinds)} kinds: give reduced or whole networks")
    if unknown := sorted(set(by_name) - set(registry.names())):
        raise ValueError(f"{unknown[0]!r} is not in the registry: measure again")
    together = reduced(_order()) if True in kinds else {name: (name,) for name in registry.names()}
    lines = [REDUCED if True in kinds else WHOLE, "", HEAD]
    for family, names in registry.families().items():
        lines += [_line(family, together[name], by_name[name]) for name in names if name in by_name]
    return "\n".join(lines)


def subjects(*, reduced_ones: bool) -> tuple[str, ...]:
    """The names that have a row each, in the table's order."""
    return tuple(reduced(_order())) if reduced_ones else _order()


def _order() -> tuple[str, ...]:
    return tuple(name for names in registry.families().values() for name in names)


def _line(family: str, names: Sequence[str], row: Mapping[str, Any]) -> str:
    rewritten = "; ".join(f"{count} {what}" for what, count in row["rewritten"].items()) or "none"
    times = row["times_faster"]
    cells = (
        family,
        ", ".join(f"`{name}`" for name in names),
        amount(row["parameters"]),
        rewritten,
        f"{row['fp32_ratio']:.2f}",
        f"{row['fp16_ratio']:.2f}",
        "-" if row["top1"] is None else f"{row['top1']:.0%}",
        f"{row['fp32_engine_s']:.1f} s, {row['fp16_engine_s']:.1f} s",
        f"plain fails: {times}" if isinstance(times, str) else f"{times:.2f}",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
