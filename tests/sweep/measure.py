"""The error bar: the export may be off by no more than a factor of what torch itself is off, at the same precision, on the same input."""

from __future__ import annotations

import copy

import numpy as np
import torch

from .case import Case
from .spellings.base import Spelling

FACTOR = 4.0
"""Another order of summation may be this much less lucky than torch's."""
ULPS = 4.0
"""torch can be exact by luck: its error counts as at least so many units of the last place of the largest value."""
AGREEMENT = 1e-12
"""How far the module in FP64 and the NumPy formula may be apart, of the largest value."""


class Measure:
    """One case's module at its own precision and in FP64."""

    def __init__(self, case: Case, module: Spelling) -> None:
        self._case = case
        self._module = module
        self._double = copy.deepcopy(module).double()

    def fault(self, x: np.ndarray, got: np.ndarray) -> str | None:
        """What is wrong with the export's result ``got``, or None."""
        truth = self._module.reference(x)
        scale = float(np.abs(truth).max())
        with torch.no_grad():
            double = self._double(torch.from_numpy(x).double()).numpy()
            own = self._module(torch.from_numpy(x)).numpy()
        if double.shape != truth.shape or not np.abs(double - truth).max() <= AGREEMENT * max(scale, 1.0):
            return "the module is not the formula"
        if got.shape != truth.shape or got.dtype != x.dtype:
            return f"{got.dtype} {got.shape} in place of {x.dtype} {truth.shape}"
        floor = ULPS * float(np.finfo(x.dtype).eps) * scale
        allowed = FACTOR * max(float(np.abs(own - truth).max()), floor)
        error = float(np.abs(got - truth).max())
        if not error <= allowed:  # NaN is not
            return f"off by {error:.3g} for x of {x.shape}, where {allowed:.3g} is allowed and values reach {scale:.3g}"
        return None
