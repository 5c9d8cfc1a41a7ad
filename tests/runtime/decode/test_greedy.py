"""Greedy decoding against one row at a time by the model's own table."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import InputError, StageError
from attnexport.runtime.decode.decoder import Decoder
from attnexport.runtime.decode.search import greedy

START, END = 0, 1


def by_hand(language, source: np.ndarray, limit: int) -> tuple[tuple[int, ...], bool]:
    tokens: tuple[int, ...] = ()
    while len(tokens) < limit:
        ways = [language.log_probability(source, (*tokens, t)) for t in range(language.vocabulary)]
        if int(np.argmax(ways)) == END:
            return tokens, True
        tokens = (*tokens, int(np.argmax(ways)))
    return tokens, False


def greedy_of(model, sources, limit):
    return greedy(model.decoder, {"source": sources}, start=START, end=END, limit=limit)


@pytest.mark.parametrize("limit", [1, 3, 12])
def test_rows_of_a_batch_are_decoded_as_if_alone(language, limit):
    model = language(6, seed=3)
    sources = np.random.default_rng(5).normal(size=(20, 6)) * 2
    sources[:, END] = np.linspace(-2, 10, 20)
    found = greedy_of(model, sources, limit)
    for source, hypothesis in zip(sources, found, strict=True):
        tokens, finished = by_hand(model, source, limit)
        assert (hypothesis.tokens, hypothesis.finished) == (tokens, finished)
        whole = (*tokens, END) if finished else tokens
        assert hypothesis.log_probability == pytest.approx(model.log_probability(source, whole), abs=1e-10)
        assert hypothesis.score == hypothesis.log_probability
        assert hypothesis.attention is not None
        assert hypothesis.attention.tolist() == [
            [before, last] for before, last in zip((START, START, *whole)[: len(whole)], (START, *whole), strict=False)
        ]
    lengths = {len(h.tokens) for h in found}
    assert limit == 1 or len(lengths) > 1, "rows should end at different steps"


def test_the_loop_stops_when_all_rows_have_ended(language):
    model = language(4, seed=1)
    sources = np.zeros((2, 4))
    sources[:, END] = [50.0, 0.0]
    model.table[START, START, 2], model.table[START, 2, END] = 50, 100
    found = greedy_of(model, sources, 30)
    assert [h.tokens for h in found] == [(), (2,)]
    assert model.step.batches == [2, 2]


def test_the_first_of_equal_tokens_is_taken(language):
    model = language(4, seed=1)
    model.table[:] = 0
    assert greedy_of(model, np.array([[0.0, -1, 2, 2]]), 2)[0].tokens == (2, 2)


def test_logits_that_are_no_numbers_are_an_error(language):
    model = language(4, seed=1)
    sources = np.zeros((3, 4))
    sources[2, 3] = np.nan
    with pytest.raises(StageError, match="decode: the step's logits are not finite in row 2"):
        greedy_of(model, sources, 5)


def test_a_limit_below_one_is_refused(language):
    with pytest.raises(InputError, match="limit 0 is below 1"):
        greedy_of(language(4, seed=1), np.zeros((1, 4)), 0)


def test_rows_must_agree(language):
    model = language(4, seed=1)
    run = type(model.decoder._encoder).run

    class Uneven(type(model.decoder._encoder)):
        def run(self, feeds):
            return run(self, feeds) | {"before": np.zeros(5, np.int64)}

    with pytest.raises(InputError, match=r"differ in their rows: .*'bias': 3, 'before': 5"):
        Decoder(Uneven(), model.step).encode({"source": np.zeros((3, 4))})
