"""Remove nodes that a set does not need: delta debugging (Zeller and Hildebrandt, 2002).

the set passes without a part  ->  remove the part
no part is left to try         ->  parts of half the size, down to single nodes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
