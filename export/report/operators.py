"""Operators by type, before and after the export."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from . import words
from .content import Content
from .markup import RIGHT, Html, Markup, bar, code, section, table, tag


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
    largest = {
        op: max(counts.get(op, 0) for counts in columns.values()) for counts in columns.values() for op in counts
    }
    most = max(largest.values(), default=1)
    rows: list[list[Html]] = []
    for op in sorted(largest, key=lambda op: (-largest[op], op)):
        cells = [_cell(counts.get(op, 0), before.get(name, {}).get(op)) for name, counts in columns.items()]
        rows.append([code(op), *cells, bar(largest[op] / most)])
    heads = [("operator", ""), *((name, RIGHT) for name in columns), ("", "")]
    kinds = {name: len(counts) for name, counts in columns.items()}
    lead = "; ".join(f"{name}: {words.count(n, 'type')}" for name, n in kinds.items())
    return section("operators", "Operators", f"{lead}.", table(heads, rows))


def _cell(now: int, before: int | None) -> Html:
    if before is None or before == now or (not before and not now):
        return f"{now:,}" if now else tag("span", "–", class_="dim")
    change = f"{now - before:+,}".replace("-", "−")
    return [f"{now:,} " if now else "0 ", tag("small", change, class_="less" if now < before else "more")]
