"""The geometry of convolutions and pools: padding, output sizes, and the view of the input under each tap of a window."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from .call import Array, Call


@dataclass(frozen=True)
class Windows:
    """Windows over the spatial axes; all lists have an entry for each of them."""

    sizes: list[int]
    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    heads: list[int]
    tails: list[int]
    out: list[int]

    @property
    def extents(self) -> list[int]:
        """Places from a window's first tap to its last, both included."""
        return [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]

    def padded(self, x: Array, value: float) -> Array:
        """``x`` (N, C, *sizes) with ``value`` before and after it, wide enough for every window."""
        ends = [
            max((o - 1) * s + e - head - size, 0)
            for o, s, e, head, size in zip(self.out, self.strides, self.extents, self.heads, self.sizes, strict=True)
        ]
        width = [(0, 0)] * (x.ndim - len(self.sizes)) + list(zip(self.heads, ends, strict=True))
        return np.pad(x, width, constant_values=value)

    def taps(self, padded: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
        """For each place in the kernel, in row-major order: its offsets, and the view (..., *out) of what it reads."""
        for place in product(*map(range, self.kernel)):
            offsets = tuple(p * d for p, d in zip(place, self.dilations, strict=True))
            steps = zip(offsets, self.out, self.strides, strict=True)
            view: tuple[Any, ...] = (..., *(slice(o, o + (n - 1) * s + 1, s) for o, n, s in steps))
            yield offsets, padded[view]

    @property
    def count(self) -> int:
        """Taps of a window."""
        return prod(self.kernel)


def windows(call: Call, sizes: list[int], kernel: list[int]) -> Windows:
    """The windows that a node's attributes describe. ``ceil_mode`` adds a window that starts in the image or before it."""
    rank = len(sizes)
    strides = call.integers("strides") or [1] * rank
    dilations = call.integers("dilations") or [1] * rank
    pads = call.integers("pads") or [0] * (2 * rank)
    heads, tails = list(pads[:rank]), list(pads[rank:])
    mode, ceil = call.text("auto_pad", "NOTSET"), call.flag("ceil_mode")
    out = []
    for axis, size in enumerate(sizes):
        extent, stride = (kernel[axis] - 1) * dilations[axis] + 1, strides[axis]
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            out.append(-(-size // stride))
            total = max((out[-1] - 1) * stride + extent - size, 0)
            less = total // 2
            heads[axis], tails[axis] = (less, total - less) if mode == "SAME_UPPER" else (total - less, less)
            continue
        if mode == "VALID":
            heads[axis] = tails[axis] = 0
        span = size + heads[axis] + tails[axis] - extent
        count = span // stride + 1
        if ceil and span % stride and count * stride < size + heads[axis]:
            count += 1
        out.append(max(count, 0))
    return Windows(sizes, kernel, strides, dilations, heads, tails, out)
