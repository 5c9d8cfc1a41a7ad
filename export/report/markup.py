"""HTML as values: every text and every attribute is escaped where it enters, so a page cannot be broken by a name in a model."""

import re
from collections.abc import Iterable, Sequence
from html import escape as _escape
from typing import Union

_VOID = frozenset({"br", "img", "input", "meta", "hr", "line", "rect", "circle", "polyline", "path"})
# No HTML parser takes these; a name of a node may hold them all the same.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

Attribute = Union[str, int, float, bool, None]  # noqa: UP007  # evaluated at import, also by Python 3.10
Html = Union["Markup", str, int, float, None, Iterable["Html"]]


class Markup(str):
    """Text that is HTML already. Made by :func:`tag` and :func:`join` alone, and :func:`raw` for our own files."""

    __slots__ = ()


def text(value: str | int | float) -> Markup:
    """A text as HTML: escaped, without the characters that HTML cannot hold."""
    return value if isinstance(value, Markup) else Markup(_escape(_CONTROLS.sub("\ufffd", str(value)), quote=True))


def raw(value: str) -> Markup:
    """Our own HTML, CSS or JavaScript, taken as it is. Never for what a model, a file or a user says."""
    return Markup(value)


def join(*content: Html) -> Markup:
    """Several pieces one after the other; None adds nothing, and a list adds its pieces."""
    parts: list[str] = []
    for piece in content:
        if piece is None:
            continue
        parts.append(text(piece) if isinstance(piece, str | int | float) else join(*piece))
    return Markup("".join(parts))


def tag(name: str, /, *content: Html, **attributes: Attribute) -> Markup:
    """``<name attributes>content</name>``.

    An attribute's trailing underscore is dropped and others become dashes (``class_``, ``data_mark``, ``aria_label``); True is the bare
    attribute, False and None leave it out.
    """
    begin = name
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        begin += f" {key}" if value is True else f' {key}="{text(_number(value))}"'
    if name in _VOID and not content:
        return Markup(f"<{begin}>" if name in ("br", "img", "input", "meta", "hr") else f"<{begin}/>")
    return Markup(f"<{begin}>{join(*content)}</{name}>")


def _number(value: str | int | float) -> str:
    """Coordinates need no more than two places."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


RIGHT = "num"
"""CSS class of a column of numbers: right-aligned, digits of one width."""


def table(
    columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Html]], *, caption: Html = None, class_: str = ""
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


def fold(summary: Html, *content: Html, open_: bool = False, printed: bool = False) -> Markup:
    """Return a block that opens on a click; with ``printed`` it is open on paper."""
    inside = tag("div", *content, class_="inside")
    return tag("details", tag("summary", summary), inside, open=open_, class_="printed" if printed else None)


def section(name: str, title: str, lead: Html, *content: Html) -> Markup:
    """Return a section of the page: heading, introduction and content."""
    intro = tag("p", lead, class_="lead") if lead is not None else None
    return tag("section", tag("h2", title), intro, *content, id=name)


def pill(passed: bool) -> Markup:
    """Return the mark of a verdict."""
    return tag("span", "pass" if passed else "fail", class_=f"pill {'good' if passed else 'bad'}")


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
