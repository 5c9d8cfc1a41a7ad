"""What the forms of a Local operator cost, in microseconds: only their order matters.

A machine is the time of one value in one elementwise pass, and that of a node before it starts. Those of the CPU were
fitted to ONNX Runtime's CPU provider, on one core and on two (figures in docs/benchmarks.md); those of the GPU are
reckoned, not measured: 8 bytes a value at 500 GB/s, and a kernel's launch. ``parallel`` is how much quicker the cores
together are at what ONNX Runtime shares out between them: arithmetic, products and Concat, but not Slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..graph.builder import Value
from .local_window import LEADING, LocalWindow, lengths


@dataclass(frozen=True)
class MachineCosts:
    """Microseconds of one value in one elementwise pass, and of one node; what sharing work gains."""

    value: float
    node: float
    parallel: float = 1.0


CPU = MachineCosts(value=0.25e-3, node=1.5)
CORES = MachineCosts(value=0.25e-3, node=2.5, parallel=1.6)
GPU = MachineCosts(value=0.016e-3, node=4.0)


def batch_of(value: Value) -> int:
    """N at the optimum."""
    return lengths(value, 0, 1)[0]


def shifted_values(window: LocalWindow, positions: Value) -> float:
    """N times P, the values that one flat shift of one channel holds; ``positions`` is (N, H, any, *Q)."""
    counts = lengths(positions, LEADING, window.rank)
    widths = [count + spare for count, spare in zip(counts, window.spare, strict=True)]
    return float(batch_of(positions) * counts[0] * prod(widths[1:]))
