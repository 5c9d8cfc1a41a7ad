"""The result of decoding one row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Hypothesis:
    """One decoded sequence.

    ``tokens`` are without start and end. ``log_probability`` is that of the tokens and of the end,
    if ``finished`` (an end came before the limit); hypotheses are ranked by ``score``.
    ``attention`` (steps, S) has a row per token, and one for the end, if the step returns attention
    and the search collects it. ``closest`` is the narrowest choice of a beam search for the row,
    between kept and dropped candidates and between its best two, as a difference in log-probability
    per token: if every log-probability errs by less than half of it, the best hypothesis stays the
    same.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    finished: bool
    attention: np.ndarray | None = None
    closest: float = math.inf
