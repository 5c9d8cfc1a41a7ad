"""The fewest nodes that reach the target: a prefix of the ranking by bisection, then without the nodes that it does not need.

Bisection starts from the prediction. Pruning is delta debugging (Zeller and Hildebrandt, 2002):

the set passes without a part  ->  remove the part
no part is left to try         ->  parts of half the size, down to single nodes
"""

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


Test = Callable[[frozenset[str]], bool]


def prune(nodes: Sequence[str], passes: Test, hopeless: Test = lambda _: False) -> tuple[str, ...]:
    """Return a subset that passes. If removing nodes never helps, it fails without any one of its nodes.

    ``nodes`` must pass. Parts at the end are tried first, so the most important nodes come first. A set that is
    ``hopeless`` by a cheap estimate is not tried.
    """
    left = list(nodes)
    size = max(1, len(left) // 2)
    while left:
        end = len(left)
        while end > 0:
            start = max(0, end - size)
            candidate = left[:start] + left[end:]
            kept = frozenset(candidate)
            if not hopeless(kept) and passes(kept):
                left = candidate
            end = start
        if size == 1:
            break
        size //= 2
    return tuple(left)
