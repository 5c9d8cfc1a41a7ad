"""The window of a Local operator as lowerings see it: its geometry, the lengths of its axes, and what a form of it costs.

Costs are in microseconds, and only their order matters. A machine is the time of one value in one elementwise pass, and
that of a node before it starts. Those of the CPU were fitted to ONNX Runtime's CPU provider, on one core and on two
(figures in docs/benchmarks.md); those of the GPU are reckoned, not measured: 8 bytes a value at 500 GB/s, and a kernel's
launch. ``parallel`` is how much quicker the cores together are at what ONNX Runtime shares out between them: arithmetic,
products and Concat, but not Slice.

Values are (N, H, D, *S) or (N, H, D, *Q), S the space of keys and values, Q the positions; see domain/window.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..domain.window import GEOMETRY
from ..domain.window import LEADING as LEADING
from ..graph.builder import Value
from ..graph.values import known, rank_refusal
from .lowering import opt_shape

GUESS = 32
"""The length that estimates assume for an axis whose length is not known."""


@dataclass(frozen=True)
class LocalWindow:
    """Kernel, dilation, zeros before and after, and stride of each space axis."""

    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def rank(self) -> int:
        """How many space axes there are."""
        return len(self.kernel)

    @property
    def taps(self) -> int:
        """K, the number of places in a window."""
        return prod(self.kernel)

    @property
    def reach(self) -> tuple[int, ...]:
        """The distance between the first and the last place of a window along each axis."""
        return tuple(step * (size - 1) for size, step in zip(self.kernel, self.dilation, strict=True))

    @property
    def spare(self) -> tuple[int, ...]:
        """Places by which a row of a flat shift is longer than its positions; see ``local_taps``.

        With stride 1 the zeros behind one row are also those before the next, except along the first axis.
        """
        entries = zip(self.reach, self.stride, self.before, self.after, strict=True)
        return tuple(
            reach // step - (min(before, after, reach) if axis and step == 1 else 0)
            for axis, (reach, step, before, after) in enumerate(entries)
        )

    def offsets(self) -> Iterator[tuple[int, ...]]:
        """Where each tap reads, relative to the window's first place, in row-major order."""
        for place in np.ndindex(*self.kernel):
            yield tuple(index * step for index, step in zip(place, self.dilation, strict=True))


def window_of(node: Any) -> LocalWindow:
    """The geometry that a node's attributes state."""
    kernel, dilation, pads, stride = (tuple(int(number) for number in node.attrs[key]) for key in GEOMETRY)
    rank = len(kernel)
    return LocalWindow(kernel, dilation, pads[:rank], pads[rank:], stride)


def given(node: Any, index: int) -> Value | None:
    """An optional input where it is there."""
    if index >= len(node.inputs) or node.inputs[index].is_empty():
        return None
    return node.inputs[index]


def lengths(value: Value, first: int, count: int) -> tuple[int, ...]:
    """The lengths of ``count`` axes from ``first`` at the optimum, for estimates only.

    An axis of which nothing is known counts ``GUESS``, the batch 1: all forms cost in proportion to it.
    """
    usual = opt_shape(value)
    sizes = [known(value, axis) if usual is None else usual[axis] for axis in range(first, first + count)]
    return tuple(size or (GUESS if axis else 1) for axis, size in enumerate(sizes, first))


def window_refusal(values: dict[str, Value], rank: int) -> str | None:
    """The reason to refuse a node one of whose windowed inputs does not have a known rank of 3 + ``rank``."""
    return next(filter(None, (rank_refusal(value, LEADING + rank, what) for what, value in values.items())), None)


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
