"""Parts of one-line messages: near misses, shortened lists, sizes, reasons."""

import difflib
from collections.abc import Iterable, Sequence


def near_miss(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`` (did you mean 'stride'?)`` for the nearest known name, or an empty string."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return f" (did you mean {found[0]!r}?)" if found else ""


def first_few(items: Sequence[str], count: int = 3) -> str:
    """The first ``count`` items joined by commas, and how many more there are."""
    more = f" and {len(items) - count} more" if len(items) > count else ""
    return ", ".join(items[:count]) + more


def sizes(shape: Iterable[int | str]) -> str:
    """``1x3x32x32``, or ``scalar`` for no axis."""
    return "x".join(str(s) for s in shape) or "scalar"


def reason(error: BaseException, limit: int = 300) -> str:
    """Class and first words of an exception, on one line."""
    text = " ".join(str(error).split())
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
