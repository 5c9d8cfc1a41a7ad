"""Constants in FP16 as the cast inserter writes them, to see what rounding them changes."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from ..precision.constants import LARGEST, HalfArray, to_half
from ..precision.graph import GraphIndex
from ..precision.masks import only_masks


def in_half(index: GraphIndex, name: str) -> HalfArray:
    """Return the FP16 form of a float32 constant; a mask saturates at half of the range."""
    array = index.value(name)
    assert array is not None
    return to_half(array, LARGEST / 2 if only_masks(index, name) else None)


_SAME: WeakKeyDictionary[GraphIndex, dict[str, bool]] = WeakKeyDictionary()
"""A cache: an unrolled network reads each of its large weights dozens of times."""


def stays(index: GraphIndex, name: str) -> bool:
    """Whether a float32 constant has the same values in FP16; each constant of a graph is compared once."""
    known = _SAME.setdefault(index, {})
    if name not in known:
        array = index.value(name)
        assert array is not None
        known[name] = bool(np.array_equal(in_half(index, name).array.astype(np.float32), array, equal_nan=True))
    return known[name]
