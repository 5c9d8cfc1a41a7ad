"""Where windows lie: sizes, kernel, dilation, stride and padding per axis, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """Windows over 1, 2 or 3 axes. ``pads`` is the same on both sides of an axis and at most what centres the window.

    The query of a window is the place of its middle tap (``kernel // 2``), so a window without padding has its queries inside.
    """

    sizes: Ints
    kernel: Ints
    dilation: Ints
    stride: Ints
    pads: Ints
    edge: bool = False
    """Padded with the value at the border instead of zeros."""

    @property
    def rank(self) -> int:
        """How many axes the windows slide along."""
        return len(self.sizes)

    @property
    def taps(self) -> int:
        """Places in a window."""
        return math.prod(self.kernel)

    @property
    def reach(self) -> Ints:
        """How long a window is on each axis, holes included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def counts(self) -> Ints:
        """How many windows each axis has."""
        axes = zip(self.sizes, self.pads, self.reach, self.stride, strict=True)
        return tuple((size + 2 * pad - reach) // step + 1 for size, pad, reach, step in axes)

    @property
    def centres(self) -> tuple[slice, ...]:
        """The queries' places: one slice of the unpadded input per axis, right for every size."""
        found = []
        for k, d, pad, step in zip(self.kernel, self.dilation, self.pads, self.stride, strict=True):
            begin, cut = d * (k // 2) - pad, d * (k - 1 - k // 2) - pad
            found.append(slice(begin, -cut if cut else None, step))
        return tuple(found)

    @property
    def same(self) -> bool:
        """Whether there is one window per place."""
        return self.counts == self.sizes and set(self.stride) == {1}

    def at(self, sizes: Ints) -> Geometry:
        """The same windows over an input of other sizes."""
        return Geometry(sizes, self.kernel, self.dilation, self.stride, self.pads, self.edge)
