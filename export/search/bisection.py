"""Find the fewest steps of a ranking that reach the target, starting from the prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .rank import RankStep


def prefix_nodes(steps: Sequence[RankStep], count: int) -> frozenset[str]:
    """The nodes of the first ``count`` steps."""
    return frozenset(node for step in steps[:count] for node in step.nodes)


def expected(steps: Sequence[RankStep], total: float, allowed: float) -> int:
    """The predicted number of steps for an error of ``allowed``; ``total`` is the squared error without any step."""
    energies = [total, *(step.energy for step in steps)]
    return next((count for count, energy in enumerate(energies) if energy <= allowed**2), len(steps))


def fewest(steps: Sequence[RankStep], passes: Callable[[frozenset[str]], bool], start: int) -> int:
    """Return the smallest number of steps whose nodes pass. Assumes that more steps never hurt and that all steps pass.

    It moves from ``start`` in growing strides until the verdict changes, then bisects the interval.
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
