"""Decodes against the truth's, token for token: what differs, and whether that was a tie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .hypothesis import Hypothesis


@dataclass(frozen=True)
class Agreement:
    """How rows of tokens stand to the truth's; ``wrong`` are the rows that differ and are no tie, with the place of each."""

    rows: int
    equal_rows: int
    tokens: int
    equal_tokens: int
    ties: int
    wrong: tuple[tuple[int, int], ...]

    def describe(self) -> str:
        """In words, for a report."""
        ties = f", {self.ties} of the others tie" if self.ties else ""
        return f"{self.equal_rows} of {self.rows} rows and {self.equal_tokens} of {self.tokens} tokens are the original's{ties}"


def as_rows(hypotheses: Sequence[Hypothesis], end: int, limit: int) -> np.ndarray:
    """Tokens (N, limit), int64: each row's, and ``end`` in all places after them."""
    rows = np.full((len(hypotheses), limit), end, np.int64)
    for row, hypothesis in zip(rows, hypotheses, strict=True):
        row[: len(hypothesis.tokens)] = hypothesis.tokens
    return rows


def lengths(rows: np.ndarray, end: int) -> np.ndarray:
    """How many tokens of each row (N, limit) count: up to its first ``end`` and with it, or all."""
    ended = rows == end
    found: np.ndarray = np.where(ended.any(1), ended.argmax(1) + 1, rows.shape[1])
    return found


def agree(truth: np.ndarray, got: np.ndarray, margins: np.ndarray, *, end: int, tie: float) -> Agreement:
    """Compare rows of :func:`as_rows`.

    ``margins`` (N, limit) say how far, in log-probability, the truth's best token of each place lay ahead of its second.
    A row that first differs where that is below ``tie`` is a tie: what came after cannot be compared, and counts as different.
    """
    count = lengths(truth, end)
    same = truth == got
    counted = np.arange(truth.shape[1]) < count[:, None]
    differing = np.flatnonzero(~same.all(1))
    places = (~same[differing]).argmax(1)
    wrong = [
        (int(row), int(place))
        for row, place in zip(differing, places, strict=True)
        if not margins[row, place] < tie  # a margin that is NaN is no tie
    ]
    return Agreement(
        rows=len(truth),
        equal_rows=len(truth) - len(differing),
        tokens=int(count.sum()),
        equal_tokens=int((same & counted).sum()),
        ties=len(differing) - len(wrong),
        wrong=tuple(wrong),
    )
