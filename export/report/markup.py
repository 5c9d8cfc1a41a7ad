"""HTML as values: every text and every attribute is escaped where it enters, so a page cannot be broken by a name in a model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape as _escape
from typing import Union

_VOID = frozenset({"br", "img", "input", "meta", "hr", "line", "rect", "circle", "polyline", "path"})
# No HTML parser takes these; a name of a node may hold them all the same.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

Attribute = Union[str, int, float, bool, None]  # noqa: UP007  # evaluated at import, also by Python 3.10
Content = Union["Markup", str, int, float, None, Iterable["Content"]]


class Markup(str):
    """Text that is HTML already. Made by :func:`tag` and :func:`join` alone, and :func:`raw` for our own files."""

    __slots__ = ()


def text(value: str | int | float) -> Markup:
    """A text as HTML: escaped, without the characters that HTML cannot hold."""
    return value if isinstance(value, Markup) else Markup(_escape(_CONTROLS.sub("\ufffd", str(value)), quote=True))


def raw(value: str) -> Markup:
    """Our own HTML, CSS or JavaScript, taken as it is. Never for what a model, a file or a user says."""
    return Markup(value)


def join(*content: Content) -> Markup:
    """Several pieces one after the other; None adds nothing, and a list adds its pieces."""
    parts: list[str] = []
    for piece in content:
        if piece is None:
            continue
        parts.append(text(piece) if isinstance(piece, str | int | float) else join(*piece))
    return Markup("".join(parts))


def tag(name: str, /, *content: Content, **attributes: Attribute) -> Markup:
    """``<name attributes>content</name>``.

    An attribute's trailing underscore is dropped and others become dashes (``class_``, ``data_mark``, ``aria_label``); True is the bare
    attribute, False and None leave it out.
    """
    said = ""
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        said += f" {key}" if value is True else f' {key}="{text(_number(value))}"'
    if name in _VOID and not content:
        return Markup(f"<{name}{said}>" if name in ("br", "img", "input", "meta", "hr") else f"<{name}{said}/>")
    return Markup(f"<{name}{said}>{join(*content)}</{name}>")


def _number(value: str | int | float) -> str:
    """Coordinates need no more than two places."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
