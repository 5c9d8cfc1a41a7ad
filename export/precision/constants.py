"""float32 constants in a 16-bit type: saturated, never flushed to zero.

|c| beyond the largest, finite   ->  +-largest             (infinities and NaN stay)
0 < |c| below the smallest       ->  +-smallest            (an epsilon must not cause a division by zero)
anything else                    ->  round to nearest even
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .halves import FP16, HalfType

LARGEST = FP16.largest


@dataclass(frozen=True)
class HalfArray:
    """An array in a 16-bit type, with the numbers of saturated values and of values that were kept from becoming zero."""

    array: np.ndarray
    saturated: int
    lifted: int


def to_half(array: np.ndarray, saturate_at: float | None = None, half: HalfType = FP16) -> HalfArray:
    """Convert a float32 array of any shape by the rules above; too large values become ``saturate_at``, if set."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rounded = array.astype(half.dtype)
    over = np.isinf(rounded) & np.isfinite(array)
    under = (rounded == 0) & (array != 0)
    saturated, lifted = int(np.count_nonzero(over)), int(np.count_nonzero(under))
    if saturated or lifted:
        limit = half.largest if saturate_at is None else saturate_at
        rounded = np.array(rounded)
        rounded[over] = np.copysign(limit, array[over]).astype(half.dtype)
        rounded[under] = np.copysign(half.smallest, array[under]).astype(half.dtype)
    return HalfArray(rounded, saturated, lifted)


@dataclass(frozen=True)
class Extent:
    """The range of a constant: largest finite and smallest non-zero magnitude, and whether it contains an infinity."""

    largest: float
    smallest: float
    infinite: bool

    def overflows(self, half: HalfType = FP16) -> bool:
        """Whether a finite value exceeds the type's largest number (after rounding)."""
        return self.largest >= half.overflow_from

    def loses_digits(self, half: HalfType = FP16) -> bool:
        """Whether the largest value is below the type's normal range, so that it loses digits or becomes zero."""
        return 0.0 < self.largest < half.smallest_normal


def extent(array: np.ndarray) -> Extent:
    """The range of a constant of any shape; zeros for an empty one."""
    magnitude = np.abs(array)
    finite = magnitude[np.isfinite(magnitude)]
    nonzero = finite[finite > 0]
    return Extent(
        largest=float(finite.max(initial=0.0)),
        smallest=float(nonzero.min(initial=np.inf)) if nonzero.size else 0.0,
        infinite=bool(np.isinf(magnitude).any()),
    )
