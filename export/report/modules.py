"""The precision of each module, and the error of its result as a heat map."""

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from ..graph.origin import Origin
from . import words
from .content import Content, Graph, nodes
from .engines import css, stack
from .markup import RIGHT, Html, Markup, code, fold, join, section, table, tag

_SPAN = {"onnx-fp32": (1e-8, 1e-5)}
_SPAN_TYPED = (1e-5, 1e-2)
"""Relative errors of the palest and the darkest colour of a cell."""


@dataclass
class _Row:
    """One module: nodes by precision in the typed model (else in the FP32 model), and errors by variant."""

    path: str
    precisions: Counter[str] = field(default_factory=Counter)
    errors: dict[str, float] = field(default_factory=dict)
    origin: Origin | None = None


def modules(content: Content) -> Markup | None:
    """Return a heat map for each graph; None if no node has a module."""
    graphs = [(graph, _rows(content, graph)) for graph in content.graphs]
    shown = [_graph(graph, rows) for graph, rows in graphs if any(row.path for row in rows)]
    if not shown:
        return None
    lead = (
        "In the order of the network. Error: of a module’s result in the exported model, compared with the same module of the "
        "original in FP64, relative to that result."
    )
    return section("modules", "Modules", lead, shown)


def module_of(node: str, known: Collection[str] = ()) -> str:
    """Return the module path at the start of a node's name: one of ``known`` if possible, which may contain slashes.

    Return an empty string for the outermost module.
    """
    path, slash, _ = node.rpartition("/")
    while slash:
        if path in known:
            return path
        path, slash, _ = path.rpartition("/")
    path, slash, _ = node.partition("/")
    return "" if not slash or path == "root" else path


def _rows(content: Content, graph: Graph) -> list[_Row]:
    measured = graph.manifest.modules
    known = {error.module for error in measured}
    rows: dict[str, _Row] = {}
    for node in nodes(graph.folder / graph.models[-1]) if graph.models else ():
        path = module_of(node.name, known)
        rows.setdefault(path, _Row(path)).precisions[node.precision] += 1
    for error in measured:
        row = rows.setdefault(error.module, _Row(error.module))
        row.errors, row.origin = dict(error.errors), Origin(error.module, error.kind, error.source)
    return _as_tree(rows)


def _as_tree(rows: dict[str, _Row]) -> list[_Row]:
    """Sort modules by their first node, a module before its submodules."""
    begins: dict[str, int] = {}
    for i, path in enumerate(rows):
        parent = path
        while parent not in begins:
            begins[parent] = i
            parent = parent.rpartition(".")[0]
    order = sorted(rows, key=lambda path: [(begins[prefix], prefix) for prefix in _prefixes(path)])
    return [rows[path] for path in order]


def _prefixes(path: str) -> list[str]:
    """``a.b.c`` to ``a``, ``a.b``, ``a.b.c``; the outermost module has none."""
    parts = path.split(".") if path else []
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _graph(graph: Graph, rows: list[_Row]) -> Markup:
    variants = list(dict.fromkeys(variant for row in rows for variant in row.errors))
    total = sum((row.precisions for row in rows), Counter[str]())
    columns = [("module", ""), ("class", ""), ("nodes", RIGHT), ("precision", "")]
    columns += [(words.stage(variant), "heat num") for variant in variants]
    body: list[list[Html]] = []
    for row in rows:
        number = sum(row.precisions.values())
        kind = tag("span", row.origin.kind, title=row.origin.source) if row.origin is not None else "–"
        count = f"{number:,}" if number else tag("span", "–", class_="dim")
        errors = [_cell(variant, row.errors.get(variant)) for variant in variants]
        body.append([code(row.path or "<root>"), kind, count, _mix(row.precisions), *errors])
    return join(
        tag("h3", graph.name) if graph.name else None,
        stack(total, sum(total.values()), "node"),
        [_strip(variant, rows) for variant in variants],
        fold(words.count(len(rows), "module"), table(columns, body), open_=len(rows) <= 40, printed=len(rows) <= 80),
        _kept(graph),
    )


def _share(variant: str, error: float) -> float:
    """The position of an error between pale (0) and dark (1)."""
    low, high = _SPAN.get(variant, _SPAN_TYPED)
    if not math.isfinite(error):
        return 1.0
    return 0.0 if error <= low else min(1.0, math.log(error / low) / math.log(high / low))


def _cell(variant: str, error: float | None) -> Html:
    if error is None:
        return tag("span", "–", class_="dim")
    return tag("span", words.power(error), class_="hot", style=f"--h:{_share(variant, error):.2f}")


def _mix(precisions: Counter[str]) -> Html:
    """The precisions of a module's nodes as a small bar."""
    whole = sum(precisions.values())
    if not whole:
        return tag("span", "–", class_="dim")
    order = [k for k in ("float16", "bfloat16", "int8", "float32", "cast", "other") if precisions[k]]
    pieces = [tag("i", class_=css(k), style=f"width:{100 * precisions[k] / whole:.1f}%") for k in order]
    title = ", ".join(
        f"{precisions[k]} {'casts' if k == 'cast' else 'others' if k == 'other' else words.precision(k)}" for k in order
    )
    return tag("span", pieces, class_="mix", title=title)


def _strip(variant: str, rows: list[_Row]) -> Markup:
    """A strip with a cell for each measured module, coloured by its error."""
    cells = [(row.path, row.errors[variant]) for row in rows if variant in row.errors]
    pieces = [
        tag("i", style=f"--h:{_share(variant, error):.2f}", title=f"{path or '<root>'}: {words.power(error)}")
        for path, error in cells
    ]
    low, high = _SPAN.get(variant, _SPAN_TYPED)
    worst = max(cells, key=lambda cell: cell[1])
    text = [f"{words.stage(variant)}: ", f"largest {words.power(worst[1])} in ", code(worst[0] or "<root>")]
    scale = tag("span", words.power(low), tag("b"), words.power(high), class_="scale")
    return tag("div", tag("p", text, scale, class_="strip-name"), tag("div", pieces, class_="strip"))


def _kept(graph: Graph) -> Markup | None:
    """The nodes that stay in FP32, with their reasons."""
    kept = graph.manifest.precision.kept
    if not kept:
        return None
    rows: list[list[Html]] = [[code(node.node), code(node.module or "<root>"), node.reason] for node in kept]
    columns = [("node", ""), ("module", ""), ("reason", "")]
    return fold(f"Kept in FP32: {words.count(len(kept), 'node')}", table(columns, rows))
