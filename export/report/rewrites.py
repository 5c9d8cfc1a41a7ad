"""Rewrites: the nodes that each domain operator replaces, the lowering chosen, and why others were refused."""

from collections import Counter
from pathlib import PurePosixPath

from . import words
from .content import Content, Graph, nodes
from .markup import RIGHT, Html, Markup, bar, code, fold, join, section, table, tag

MOST = 3
"""Modules shown at first; more of them are folded."""


def rewrites(content: Content) -> Markup:
    """Return a row for each group of equal rewrites, and the graph's size before and after."""
    found = content.found.rewrites
    before, after = _counts(content)
    columns = [
        ("what", ""), ("became", ""), ("nodes before", RIGHT), ("after", RIGHT), ("where", ""), ("refused, with reasons", ""),
        ("model", ""),
    ]  # fmt: skip
    rows: list[list[Html]] = []
    for row in found:
        number = len(row.nodes)
        old = [before[row.model, node] for node in row.nodes if (row.model, node) in before]
        new = [after[row.model, node] for node in row.nodes if (row.model, node) in after]
        what = join(f"{number} × " if number > 1 else "", row.found or row.op)
        reasons = [
            tag("li", tag("b", "local attention" if n == "recognise" else n), f": {why}") for n, why in row.refused
        ]
        timed = [tag("li", f"{name}: {taken:.2f} ms") for name, taken in row.milliseconds]
        rows.append(
            [
                what, code(row.lowering) if row.lowering else "left as it is",
                f"{sum(old):,}" if old else "–", f"{sum(new):,}" if new else "–", _where(row.modules),
                tag("ul", reasons, timed, class_="reasons") if reasons or timed else "–", code(row.model),
            ]
        )  # fmt: skip
    lead = "No operator needed rewriting: the graph had standard operators only." if not rows else (
        f"{words.count(sum(len(row.nodes) for row in found), 'rewrite')}. A domain operator replaces nodes of the captured graph, and "
        "becomes the form that is correct and fastest on its target."
    )  # fmt: skip
    return section(
        "rewrites", "Rewrites", lead, _sizes(content), table(columns, rows) if rows else None, _before(content)
    )


def _before(content: Content) -> Markup | None:
    """The rewrites before lowering, applied and refused."""
    groups = content.found.graph_rewrites
    rows: list[list[Html]] = [
        [
            row.stage, code(row.rule), f"{len(row.nodes):,}",
            "applied" if row.applied else f"refused: {row.reason}", _where(row.modules),
        ]
        for row in groups
    ]  # fmt: skip
    columns = [("stage", ""), ("rule", ""), ("nodes", RIGHT), ("result", ""), ("where", "")]
    number = words.count(sum(len(row.nodes) for row in groups), "rewrite")
    return fold(f"Before lowering: {number}", table(columns, rows)) if rows else None


def _where(modules: tuple[str, ...]) -> Markup:
    """Modules with their source lines; more than ``MOST`` are folded."""
    lines = []
    for place in modules:
        module, _, source = place.partition(" at ")
        lines.append(tag("div", code(module), tag("div", source, class_="note") if source else None))
    if len(lines) <= MOST:
        return join(lines)
    return tag("details", tag("summary", words.count(len(lines), "module")), lines, class_="few")


def _sizes(content: Content) -> Markup:
    """Nodes of the captured graph and of every model, as bars."""
    rows: list[list[Html]] = []
    for graph in content.graphs:
        counts: dict[str, int] = {}
        if graph.manifest.captured:
            counts[graph.titled("as captured")] = sum(graph.manifest.captured.values())
        for file in graph.models:
            counts[str(PurePosixPath(graph.name, file))] = sum(graph.manifest.operators[file].values())
        most = max((1, *counts.values()))  # a graph of constants alone has no node
        rows += [[code(name), f"{n:,}", bar(n / most)] for name, n in counts.items()]
    return table([("graph", ""), ("nodes", RIGHT), ("", "")], rows, class_="narrow")


def _counts(content: Content) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], int]]:
    """For (model, node of a rewrite): the number of captured nodes it replaces, and of nodes that replace it."""
    before: dict[tuple[str, str], int] = {}
    after: dict[tuple[str, str], int] = {}
    for graph in content.graphs:
        made = {file: _under(graph, file) for file in graph.models}
        for record in graph.manifest.rewrites:
            key = (str(PurePosixPath(graph.name, record.model)), record.node)
            before[key] = record.replaced
            if made.get(record.model):
                after[key] = made[record.model][record.node]
    return before, after


def _under(graph: Graph, file: str) -> Counter[str]:
    """Return the number of nodes under each name: node ``N`` became ``N`` and ``N/...``; casts are not counted."""
    counts: Counter[str] = Counter()
    for node in nodes(graph.folder / file):
        prefix = node.name if node.precision != "cast" else ""
        while prefix:
            counts[prefix] += 1
            prefix = prefix.rpartition("/")[0]
    return counts
