"""What a model is lowered for: the targets by name and family."""

from __future__ import annotations

from .target import NAMES, TARGETS, Family, Target, resolve, target_of

__all__ = ["NAMES", "TARGETS", "Family", "Target", "resolve", "target_of"]
