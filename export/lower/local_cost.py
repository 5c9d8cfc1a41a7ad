"""What the forms of a Local operator cost, in microseconds of one core: only their order matters.

The constants were measured on ONNX Runtime's CPU provider (docs/benchmarks.md says on what): an elementwise operator
takes about ``PASS`` a value, a node costs about ``NODE`` before it starts.
"""

from __future__ import annotations

from math import prod

from .emit import Value
from .local_window import LEADING, LocalWindow, lengths

PASS = 0.25e-3
NODE = 3.0


def shifted_values(window: LocalWindow, positions: Value) -> float:
    """N times P, the values that one flat shift of one channel holds; ``positions`` is (N, H, any, *Q)."""
    counts = lengths(positions, LEADING, window.rank)
    widths = [count + reach // step for count, reach, step in zip(counts, window.reach, window.stride, strict=True)]
    return float(lengths(positions, 0, 1)[0] * counts[0] * prod(widths[1:]))
