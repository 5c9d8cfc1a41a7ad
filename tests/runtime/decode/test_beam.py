"""Beam search against the enumeration of every sentence, and against greedy decoding."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.decode.search import beam_search, greedy

START, END = 0, 1


def search(model, sources, **options):
    return beam_search(model.decoder, {"source": sources}, start=START, end=END, **options)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize(("vocabulary", "limit"), [(4, 4), (3, 6)])
def test_a_beam_that_prunes_nothing_finds_the_best_sentences_of_all(language, alpha, vocabulary, limit):
    model = language(vocabulary, seed=vocabulary)
    sources = np.random.default_rng(2).normal(size=(4, vocabulary))
    width = (vocabulary - 1) ** limit + 1
    for source, found in zip(sources, search(model, sources, limit=limit, width=width, alpha=alpha), strict=True):
        ranked = []
        for sentence in model.sentences(limit):
            total = model.log_probability(source, (*sentence, END))
            ranked.append((total / ((5 + len(sentence) + 1) / 6) ** alpha, total, sentence))
        ranked.sort(key=lambda entry: -entry[0])
        finished = [h for h in found if h.finished]
        np.testing.assert_allclose([h.score for h in finished], [entry[0] for entry in ranked], rtol=0, atol=1e-10)
        totals = {sentence: total for _, total, sentence in ranked}
        assert {h.tokens for h in finished} == set(totals)
        assert all(h.log_probability == pytest.approx(totals[h.tokens], abs=1e-10) for h in finished)


@pytest.mark.parametrize("limit", [1, 2, 9])
def test_a_width_of_one_without_normalisation_is_greedy(language, limit):
    model = language(7, seed=8)
    sources = np.random.default_rng(4).normal(size=(30, 7)) * 1.5
    expected = greedy(model.decoder, {"source": sources}, start=START, end=END, limit=limit)
    for one, other in zip(search(model, sources, limit=limit, width=1, alpha=0.0), expected, strict=True):
        assert len(one) == 1
        assert (one[0].tokens, one[0].finished) == (other.tokens, other.finished)
        assert one[0].log_probability == pytest.approx(other.log_probability, abs=1e-10)


def test_rows_of_a_batch_are_searched_as_if_alone(language):
    model = language(6, seed=3)
    sources = np.random.default_rng(5).normal(size=(12, 6)) * 2
    together = search(model, sources, limit=8, width=3)
    for i, found in enumerate(together):
        alone = search(model, sources[i : i + 1], limit=8, width=3)[0]
        assert [(h.tokens, h.finished) for h in found] == [(h.tokens, h.finished) for h in alone]
        for hypothesis in found:
            whole = (*hypothesis.tokens, END) if hypothesis.finished else hypothesis.tokens
            assert hypothesis.log_probability == pytest.approx(model.log_probability(sources[i], whole), abs=1e-10)
            length = len(whole) if hypothesis.finished else 8
            assert hypothesis.score == pytest.approx(hypothesis.log_probability / ((5 + length) / 6) ** 0.6)
    assert any(len(found) == 3 and found[0].score > found[1].score > found[2].score for found in together)


def test_a_wider_beam_finds_a_better_hypothesis_than_greedy(language):
    """The likelier first token leads nowhere."""
    model = language(4, seed=0)
    model.table[:] = 0
    model.table[START, START] = [-50, -50, 1, 0]
    model.table[START, 2] = [-50, 0, 0, 0]
    model.table[START, 3] = [-50, 9, 0, 0]
    source = np.zeros((1, 4))
    assert search(model, source, limit=6, width=2, alpha=0.0)[0][0].tokens == (3,)
    assert search(model, source, limit=6, width=1, alpha=0.0)[0][0].tokens != (3,)


def test_normalisation_favours_length(language):
    model = language(4, seed=0)
    model.table[:] = [-50, 0.0, 0.4, -50]
    source = np.zeros((1, 4))
    lengths = [len(search(model, source, limit=6, width=8, alpha=a)[0][0].tokens) for a in (0.0, 1.0, 3.0)]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[-1]) == (0, 5)


def test_full_hands_do_not_stop_a_search_that_can_still_do_better(language):
    """Two short sentences are finished at the second step; normalised, the longest is better than either."""
    model = language(4, seed=0)
    model.table[:] = [-50, 0.0, 0.4, -50]
    found = search(model, np.zeros((1, 4)), limit=6, width=2, alpha=3.0)[0]
    assert [h.tokens for h in found] == [(2,) * 5, (2,) * 4]


def test_the_search_stops_once_nothing_better_can_come(language):
    model = language(4, seed=0)
    model.table[:] = [-50, 20, 0, 0]
    search(model, np.zeros((2, 4)), limit=50, width=3, alpha=0.0)
    assert model.step.batches == [6, 6]


def test_without_an_end_unfinished_hypotheses_are_returned(language):
    model = language(4, seed=2)
    model.table[:, :, END] = -100
    found = search(model, np.zeros((1, 4)), limit=3, width=2, alpha=0.6)[0]
    assert [(len(h.tokens), h.finished) for h in found] == [(3, False)] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit 0 is below 1"),
        ({"limit": 3, "width": 0}, "beam width 0 is below 1"),
        ({"limit": 3, "alpha": -0.5}, "alpha -0.5 is below 0"),
    ],
)
def test_invalid_arguments_are_refused(language, options, message):
    with pytest.raises(InputError, match=message):
        search(language(4, seed=0), np.zeros((1, 4)), **options)


def test_noise_below_half_of_the_closest_choice_changes_no_best_hypothesis(language):
    """``closest`` is a bound: tables that err by less than half of it, with either sign, find the same sentence."""
    sources = np.random.default_rng(3).normal(size=(60, 5)) * 2
    model = language(5, seed=8)
    true = [row[0] for row in search(model, sources, limit=5, width=3, alpha=0.6)]
    assert all(0 <= hypothesis.closest < np.inf for hypothesis in true)
    generator = np.random.default_rng(4)
    changed = 0
    for size in (0.02, 0.1, 0.3, 1.0):
        noisy = language(5, seed=8)
        noise = generator.uniform(-size / 2, size / 2, noisy.table.shape)  # a log-probability errs by up to twice that
        noisy.table[:] = model.table + noise
        for got, hypothesis in zip(search(noisy, sources, limit=5, width=3, alpha=0.6), true, strict=True):
            if hypothesis.closest > 2 * size:
                assert got[0].tokens == hypothesis.tokens
            changed += got[0].tokens != hypothesis.tokens
    assert changed, "noise should change something, or the bound is not seen to matter"
