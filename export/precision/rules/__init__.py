"""The precision rules. A node gets the reason of the first rule in ``RULES`` that finds it: hazards come before cautions."""

from . import (
    accumulations,
    bodies,
    carried,
    comparisons,
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
from .rule import PrecisionRule, RuleSeverity

__all__ = ["RULES", "PrecisionRule", "RuleSeverity"]

RULES: tuple[PrecisionRule, ...] = (
    bodies.RULE,
    recurrent.RULE,
    carried.RULE,
    coordinates.RULE,
    positions.RULE,
    comparisons.RULE,
    constants.RULE,
    gram.RULE,
    long_softmax.RULE,
    accumulations.RULE,
    partial_masks.RULE,
    infinities.RULE,
    softmax.RULE,
    normalisation.RULE,
    reductions.RULE,
)
"""To add a rule: a file with a ``RULE`` and a line here (docs/design.md)."""
