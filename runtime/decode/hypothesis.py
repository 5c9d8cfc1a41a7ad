"""What decoding gives for one row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Hypothesis:
    """One decoded sequence.

    ``tokens`` are without start and end. ``log_probability`` is that of the tokens and of the end, where ``finished``
    says that one came before the limit; ``score`` is what hypotheses are ranked by. ``attention`` (steps, S) holds a
    row per token, and one for the end, where the step gives attention and the search collects it. ``closest`` is the
    narrowest choice that a beam search made for the row, between what it kept and what it dropped and between its best two, as a
    difference in log-probability per token: where every log-probability errs by less than half of it, the best
    hypothesis stays the same.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    finished: bool
    attention: np.ndarray | None = None
    closest: float = math.inf
