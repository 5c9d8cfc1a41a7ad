"""Operators by type, before and after the export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from . import words
from .content import Content
from .markup import Content as Html
from .markup import Markup, tag
from .tables import RIGHT, bar, code, section, table


def operators(content: Content) -> Markup:
    """Return the count of each operator in the captured graph and in each model, with the change."""
    columns: dict[str, Mapping[str, int]] = {}
    before: dict[str, Mapping[str, int]] = {}
    for graph in content.graphs:
        captured = graph.manifest.captured
        if captured:
            columns[graph.titled("captured")] = captured
        for file in graph.models:
            name = str(PurePosixPath(graph.name, file))
            columns[name] = graph.manifest.operators[file]
            before[name] = captured
    names = sorted(
        {op for counts in columns.values() for op in counts},
        key=lambda op: (-max(counts.get(op, 0) for counts in columns.values()), op),
    )
    most = max((n for counts in columns.values() for n in counts.values()), default=1)
    rows: list[list[Html]] = []
    for op in names:
        cells: list[Html] = [code(op)]
        for name, counts in columns.items():
            cells.append(_cell(counts.get(op, 0), before.get(name, {}).get(op) if before.get(name) else None))
        cells.append(bar(max(counts.get(op, 0) for counts in columns.values()) / most))
        rows.append(cells)
    heads = [("operator", ""), *((name, RIGHT) for name in columns), ("", "")]
    kinds = {name: len(counts) for name, counts in columns.items()}
    lead = "; ".join(f"{name}: {words.count(n, 'type')}" for name, n in kinds.items())
    return section("operators", "Operators", f"{lead}.", table(heads, rows))


def _cell(now: int, before: int | None) -> Html:
    if before is None or before == now or (not before and not now):
        return f"{now:,}" if now else tag("span", "–", class_="dim")
    change = f"{now - before:+,}".replace("-", "−")
    return [f"{now:,} " if now else "0 ", tag("small", change, class_="less" if now < before else "more")]
