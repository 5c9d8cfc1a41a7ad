"""Choose the optimization profile of an engine for given shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ...errors import InputError

Shape = tuple[int, ...]
Profile = Mapping[str, tuple[Shape, Shape, Shape]]
"""``min``, ``opt`` and ``max`` of every input."""


def choose_profile(profiles: Sequence[Profile], shapes: Mapping[str, Shape], engine: str) -> int:
    """The profile that contains all shapes; of several, the one whose opt is nearest in elements, since it was tuned for that.

    Raise InputError with the ranges if there is none; ``engine`` is its name.
    """
    fitting = [i for i, profile in enumerate(profiles) if all(_holds(profile[n], s) for n, s in shapes.items())]
    if fitting:
        return min(fitting, key=lambda i: (sum(_distance(profiles[i][n][1], s) for n, s in shapes.items()), i))
    nearest = next((n for n, s in shapes.items() if not any(_holds(p[n], s) for p in profiles)), None)
    name = nearest or next(iter(shapes))
    takes = " or ".join(dict.fromkeys(_range(profile[name]) for profile in profiles))
    together = "" if nearest else " with these other inputs"
    raise InputError(
        f"input {name!r} of {engine} has shape {shapes[name]}{together}",
        f"keep to what the engine was built for: {takes}",
    )


def _holds(limits: tuple[Shape, Shape, Shape], shape: Shape) -> bool:
    low, _, high = limits
    return len(low) == len(shape) and all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))


def _distance(opt: Shape, shape: Shape) -> float:
    return abs(math.log(max(math.prod(shape), 1) / max(math.prod(opt), 1)))


def _range(limits: tuple[Shape, Shape, Shape]) -> str:
    low, _, high = limits
    return f"({', '.join(str(a) if a == b else f'{a}..{b}' for a, b in zip(low, high, strict=True))})"
