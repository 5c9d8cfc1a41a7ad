"""What a model is lowered for: the targets by name and family, and what each is known to do with an operator."""

from __future__ import annotations

from .matrix import Matrix, Row, Status, Verdict, refusal, verdict
from .target import NAMES, TARGETS, Family, Target, resolve, target_of

__all__ = [
    "NAMES",
    "TARGETS",
    "Family",
    "Matrix",
    "Row",
    "Status",
    "Target",
    "Verdict",
    "refusal",
    "resolve",
    "target_of",
    "verdict",
]
