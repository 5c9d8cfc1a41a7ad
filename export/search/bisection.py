"""The fewest steps of a ranking that reach the target, found from where the prediction points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .rank import Step


def prefix_nodes(steps: Sequence[Step], count: int) -> frozenset[str]:
    """The nodes of the first ``count`` steps."""
    return frozenset(node for step in steps[:count] for node in step.nodes)


def expected(steps: Sequence[Step], total: float, allowed: float) -> int:
    """How many steps should do for an error of ``allowed``; ``total`` is the squared error without any."""
    energies = [total, *(step.energy for step in steps)]
    return next((count for count, energy in enumerate(energies) if energy <= allowed**2), len(steps))


def fewest(steps: Sequence[Step], passes: Callable[[frozenset[str]], bool], start: int) -> int:
    """The smallest number of steps whose nodes pass, supposing that more never hurt; all of them always do.

    From ``start`` it goes in growing strides until the verdict changes, then halves what is between.
    """
    low, high = -1, len(steps)  # ``low`` fails, ``high`` passes
    place, stride = start, 1
    failed = passed = False
    while high - low > 1:
        if failed and passed:
            place = (low + high) // 2
        place = min(max(place, low + 1), high - 1)
        if passes(prefix_nodes(steps, place)):
            high, passed, place = place, True, place - stride
        else:
            low, failed, place = place, True, place + stride
        stride *= 2
    return high
