"""The rules of the static precision policy, in the order in which their reasons are given: hazards before cautions.

A rule is a module with ``SEVERITY`` (see ``policy``) and ``find(index)``, which yields the nodes that stay FP32 and
why. A node may be yielded more than once.
"""

from __future__ import annotations

from types import ModuleType

from . import (
    accumulations,
    bodies,
    constants,
    coordinates,
    gram,
    infinities,
    long_softmax,
    normalisation,
    partial_masks,
    positions,
    recurrent,
    reductions,
    softmax,
)

HAZARDS: tuple[ModuleType, ...] = (
    bodies,
    recurrent,
    coordinates,
    positions,
    constants,
    gram,
    long_softmax,
    accumulations,
)
CAUTIONS: tuple[ModuleType, ...] = (partial_masks, infinities, softmax, normalisation, reductions)
RULES: tuple[ModuleType, ...] = (*HAZARDS, *CAUTIONS)

__all__ = ["CAUTIONS", "HAZARDS", "RULES"]
