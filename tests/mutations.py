"""Every field of a JSON value, replaced by ten wrong kinds in turn: what an attacker, or a damaged disk, makes of a file."""

import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any

DEEP: Any = 1
for _ in range(60):
    DEEP = [DEEP]

WRONG: dict[str, Any] = {
    "null": None,
    "another type": {"surprise": ["", 1.5]},
    "list": [1, "a", None],
    "infinity": "inf",
    "not a number": "nan",
    "10^12": 10**12,
    "10^300": 10**300,
    "negative": -1,
    "a float": 0.5,
    "true": True,
    "deep": DEEP,
    "huge": "x" * 2_000_000,
    "long": "y" * 3000,
    "control characters": "a\x1b]0;evil\x07\x1b[2J\r\n\x00\x9b1mb\u202e",
    "half a pair": "\udc80",
    "markup": "[/bogus][red]<script>alert(1)</script>",
    "absolute": "/etc/passwd",
    "climbing": "../../../etc/passwd",
    "shell": "$(touch pwned); `id` '\" && rm",
    "empty": "",
}
"""What a field becomes, by name."""


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON value, containers and their first three entries included."""
    if at:
        yield at
    entries = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))[:3]
        if isinstance(value, list)
        else []
    )
    for key, inner in entries:
        yield from paths(inner, (*at, key))


def mutated(value: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    """A copy with another value at the path."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    return changed


def renamed(value: Any, path: tuple[Any, ...], name: str) -> Any | None:
    """A copy with another name of the entry at the path; None if it is in a list."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    if not isinstance(inner, dict):
        return None
    inner[name] = inner.pop(path[-1])
    return changed


def some(cases: Iterator[tuple[str, str]], step: int) -> Iterator[tuple[str, str]]:
    """Every ``step``-th case; 1 for all. A step that has no divisor in common with their number per field takes each kind in turn."""
    return itertools.islice(cases, 0, None, step)


def texts(value: Any) -> Iterator[tuple[str, str]]:
    """The JSON text of every mutation, after its name."""
    for path in paths(value):
        where = ".".join(map(str, path))
        for name, wrong in WRONG.items():
            yield f"{where} = {name}", json.dumps(mutated(value, path, wrong))
        for name in ("control characters", "markup", "absolute", "climbing", "shell"):
            if (changed := renamed(value, path, WRONG[name])) is not None:
                yield f"{where} is named {name}", json.dumps(changed)
