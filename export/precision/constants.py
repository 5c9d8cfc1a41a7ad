"""float32 constants as FP16: saturated, never flushed to zero.

|c| > 65504, finite     ->  +-65504           (infinities and NaN stay what they are)
0 < |c| < 2**-24        ->  +-2**-24          (the smallest FP16 number: an epsilon must not become a division by zero)
anything else           ->  round to nearest even
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST = 65504.0
SMALLEST = 2.0**-24
SMALLEST_NORMAL = 2.0**-14


@dataclass(frozen=True)
class HalfArray:
    """An array in FP16, with how many of its values were saturated and how many were lifted off zero."""

    array: np.ndarray
    saturated: int
    lifted: int


def to_half(array: np.ndarray, saturate_at: float = LARGEST) -> HalfArray:
    """Convert a float32 array of any shape to float16 by the rule above; what is too large becomes ``saturate_at``."""
    with np.errstate(over="ignore", under="ignore"):
        half = array.astype(np.float16)
    over = np.isinf(half) & np.isfinite(array)
    under = (half == 0) & (array != 0)
    saturated, lifted = int(np.count_nonzero(over)), int(np.count_nonzero(under))
    if saturated or lifted:
        half = np.array(half)
        half[over] = np.copysign(np.float16(saturate_at), array[over])
        half[under] = np.copysign(np.float16(SMALLEST), array[under])
    return HalfArray(half, saturated, lifted)


@dataclass(frozen=True)
class Extent:
    """The range of a constant: largest finite and smallest non-zero magnitude, and whether an infinity is in it."""

    largest: float
    smallest: float
    infinite: bool

    @property
    def overflows(self) -> bool:
        """Whether a finite value lies beyond FP16's largest number (after rounding)."""
        return self.largest >= 65520.0

    @property
    def loses_digits(self) -> bool:
        """Whether even the largest value lies below FP16's normal range: it loses digits or vanishes."""
        return 0.0 < self.largest < SMALLEST_NORMAL


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
