"""Sections, tables that the search box filters, and folded blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .markup import Content, Markup, join, tag

RIGHT = "num"
"""CSS class of a column of numbers: right-aligned, digits of one width."""


def table(
    columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Content]], *, caption: Content = None, class_: str = ""
) -> Markup:
    """Return a table; ``columns`` are names and CSS classes (``""`` or ``RIGHT``). A wide table scrolls."""
    head = tag("tr", [tag("th", name, class_=kind or None, scope="col") for name, kind in columns])
    kinds = [kind or None for _, kind in columns]
    body = [
        tag("tr", [tag("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)], data_row=True)
        for row in rows
    ]
    inner = tag("table", tag("thead", head), tag("tbody", body), class_=class_ or None)
    note = tag("p", caption, class_="caption") if caption is not None else None
    return join(tag("div", inner, class_="wide", tabindex="0"), note)


def fold(summary: Content, *content: Content, open_: bool = False, printed: bool = False) -> Markup:
    """Return a block that opens on a click; with ``printed`` it is open on paper."""
    return tag(
        "details",
        tag("summary", summary),
        tag("div", *content, class_="inside"),
        open=open_,
        class_="printed" if printed else None,
    )


def section(name: str, title: str, lead: Content, *content: Content) -> Markup:
    """Return a section of the page: heading, introduction and content."""
    intro = tag("p", lead, class_="lead") if lead is not None else None
    return tag("section", tag("h2", title), intro, *content, id=name)


def code(value: str) -> Markup:
    """Return a name from a model or a file in code font."""
    return tag("code", value)


def names(found: Sequence[str], most: int = 3) -> Markup:
    """Return names; more than ``most`` are folded."""
    if len(found) <= most:
        return tag("span", [join(", " if i else None, code(name)) for i, name in enumerate(found)])
    first = join(code(found[0]), f" and {len(found) - 1} more")
    return tag("details", tag("summary", first), [tag("div", code(name)) for name in found], class_="few")


def bar(share: float, kind: str = "", label: str = "") -> Markup:
    """Return a thin bar of a share in 0..1."""
    width = max(0.0, min(1.0, share)) * 100
    fill = tag("i", style=f"width:{width:.1f}%", class_=kind or None)
    return tag("span", fill, class_="bar", title=label or None)
