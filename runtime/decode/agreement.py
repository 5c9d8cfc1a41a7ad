"""Compare decodes with the reference, token by token: differences, and whether they are ties."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from .decoder import Hypothesis


@dataclass(frozen=True)
class Agreement:
    """The comparison of rows of tokens; ``wrong`` are the rows that differ without a tie, with the place of the first difference."""

    rows: int
    equal_rows: int
    tokens: int
    equal_tokens: int
    ties: int
    wrong: tuple[tuple[int, int], ...]

    def describe(self) -> str:
        """The numbers in words."""
        ties = f", {self.ties} of the others tie" if self.ties else ""
        return f"{self.equal_rows} of {self.rows} rows and {self.equal_tokens} of {self.tokens} tokens are the original's{ties}"


def as_rows(hypotheses: Sequence[Hypothesis], end: int, limit: int) -> np.ndarray:
    """Tokens (N, limit), int64, filled up with ``end``."""
    rows = np.full((len(hypotheses), limit), end, np.int64)
    for row, hypothesis in zip(rows, hypotheses, strict=True):
        row[: len(hypothesis.tokens)] = hypothesis.tokens
    return rows


def lengths(rows: np.ndarray, end: int) -> np.ndarray:
    """The number of tokens of each row (N, limit): up to and including its first ``end``, or all."""
    ended = rows == end
    return np.asarray(np.where(ended.any(1), ended.argmax(1) + 1, rows.shape[1]))


def agree(reference: np.ndarray, got: np.ndarray, margins: np.ndarray, *, end: int, tie: float) -> Agreement:
    """Compare rows of :func:`as_rows`.

    ``margins`` (N, limit) are the differences in log-probability of the reference's best and second
    token at each place. A row that first differs at a margin below ``tie`` is a tie: the tokens
    after it cannot be compared, and count as different.
    """
    count = lengths(reference, end)
    same = reference == got
    counted = np.arange(reference.shape[1]) < count[:, None]
    differing = np.flatnonzero(~same.all(1))
    places = (~same[differing]).argmax(1)
    wrong = [
        (int(row), int(place))
        for row, place in zip(differing, places, strict=True)
        if not margins[row, place] < tie  # NaN is not a tie
    ]
    return Agreement(
        rows=len(reference),
        equal_rows=len(reference) - len(differing),
        tokens=int(count.sum()),
        equal_tokens=int((same & counted).sum()),
        ties=len(differing) - len(wrong),
        wrong=tuple(wrong),
    )


def joined(agreements: Sequence[Agreement]) -> Agreement:
    """The agreement over several cases; row numbers continue from one case to the next."""
    starts = accumulate((case.rows for case in agreements), initial=0)
    return Agreement(
        rows=sum(case.rows for case in agreements),
        equal_rows=sum(case.equal_rows for case in agreements),
        tokens=sum(case.tokens for case in agreements),
        equal_tokens=sum(case.equal_tokens for case in agreements),
        ties=sum(case.ties for case in agreements),
        wrong=tuple(
            (start + row, place) for start, case in zip(starts, agreements, strict=False) for row, place in case.wrong
        ),
    )
