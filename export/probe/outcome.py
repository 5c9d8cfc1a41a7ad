"""What came of one case, and how a computed output is held against the expected one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..targets.matrix import Status
from .case import Array, ProbeCase


@dataclass(frozen=True)
class Outcome:
    """``how`` it was measured, its verdict, and the error where something ran."""

    status: Status
    how: str
    reason: str = ""
    error: float | None = None


def judge(case: ProbeCase, y: Array, how: str) -> Outcome:
    """The outcome of a run: wrong where shape or values are not those of the FP64 reference, within rounding."""
    if y.shape != case.expected.shape:
        return Outcome("wrong", how, f"the output is {y.shape}, not {case.expected.shape}")
    difference = np.abs(y.astype(np.float64) - case.expected)
    error = float(difference.max(initial=0.0) / max(np.abs(case.expected).max(initial=0.0), 1e-30))
    if not np.isfinite(error):
        return Outcome("wrong", how, "the output is not finite")
    error = float(f"{error:.2g}")
    if error > case.tolerance:
        return Outcome("wrong", how, f"error {error:.2g} of the largest value", error)
    return Outcome("ok", how, error=error)
