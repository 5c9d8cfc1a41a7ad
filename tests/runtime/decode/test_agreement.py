"""Token for token: what counts as equal, as a tie, and as wrong."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.runtime.decode.agreement import agree, as_rows, lengths
from attnexport.runtime.decode.decoder import Hypothesis

END = 1
TRUTH = np.array([[5, 6, END, END], [7, 8, 9, 4], [END, END, END, END]])
FAR = np.full(TRUTH.shape, 3.0)


def test_rows_are_filled_with_the_end() -> None:
    found = as_rows([Hypothesis((5, 6), -1.0, -1.0, True), Hypothesis((7, 8, 9, 4), -1.0, -1.0, False)], END, 4)
    assert found.tolist() == TRUTH[:2].tolist()
    assert lengths(TRUTH, END).tolist() == [3, 4, 1]


def test_equal_rows_count_all_their_tokens_ends_included() -> None:
    found = agree(TRUTH, TRUTH.copy(), FAR, end=END, tie=0.5)
    assert (found.rows, found.equal_rows, found.tokens, found.equal_tokens) == (3, 3, 8, 8)
    assert (found.ties, found.wrong) == (0, ())


@pytest.mark.parametrize(
    ("row", "place", "token", "equal_tokens"), [(0, 1, 9, 7), (0, 2, 9, 7), (1, 3, END, 7), (2, 0, 5, 7)]
)
@pytest.mark.parametrize("margin", [0.49, 0.5, np.nan])
def test_the_first_difference_decides_by_the_truth_s_margin(row, place, token, equal_tokens, margin) -> None:
    got, margins = TRUTH.copy(), FAR.copy()
    got[row, place], margins[row, place] = token, margin
    found = agree(TRUTH, got, margins, end=END, tie=0.5)
    assert (found.equal_rows, found.equal_tokens) == (2, equal_tokens)
    tied = margin < 0.5
    assert (found.ties, found.wrong) == ((1, ()) if tied else (0, ((row, place),)))


def test_a_tie_after_the_first_difference_excuses_nothing() -> None:
    got, margins = TRUTH.copy(), FAR.copy()
    got[1] = [6, 5, 9, 4]
    margins[1, 1] = 0.0
    found = agree(TRUTH, got, margins, end=END, tie=0.5)
    assert found.wrong == ((1, 0),)
    assert found.equal_tokens == 6


def test_an_agreement_describes_itself() -> None:
    got, margins = TRUTH.copy(), FAR.copy()
    got[0, 0], margins[0, 0] = 9, 0.1
    text = agree(TRUTH, got, margins, end=END, tie=0.5).describe()
    assert text == "2 of 3 rows and 7 of 8 tokens are the original's, 1 of the others tie"
