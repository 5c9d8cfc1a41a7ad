"""A decoder with batches of limited sizes gives what one without gives, and refuses what its facts do not allow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from attnexport.errors import InputError
from attnexport.runtime.bundle.sections import DecodeRecord
from attnexport.runtime.decode.decoder import Decoder
from attnexport.runtime.decode.search import beam_search, greedy
from attnexport.runtime.decode.sequence import SequenceDecoder
from attnexport.runtime.spec import Axis, TensorSpec

VOCABULARY = 7
FACTS = DecodeRecord(1, 2, 0, 8, ("bias",), {"before": "next_before"})
SOURCE = TensorSpec("source", "int64", (Axis(1, 2, 3, "batch"), Axis(2, 3, 5, "length")), 0, 20)


class Encoder:
    """source (N, S) -> bias (N, V) and before (N,), both of the tokens' sum."""

    input_names = ("source",)
    output_names = ("bias", "before")

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        total = feeds["source"].sum(1)
        self.batches.append(len(total))
        bias = np.stack([np.random.default_rng(int(t)).normal(size=VOCABULARY) * 2 for t in total])
        return {"bias": bias, "before": total % VOCABULARY}

    def close(self) -> None: ...


class Step:
    input_names = ("token", "bias", "before")
    output_names = ("logits", "next_before")

    def __init__(self) -> None:
        self.table = np.random.default_rng(0).normal(size=(VOCABULARY, VOCABULARY, VOCABULARY)) * 2
        self.batches: list[int] = []

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.batches.append(len(feeds["token"]))
        return {
            "logits": self.table[feeds["before"], feeds["token"]] + feeds["bias"],
            "next_before": (feeds["before"] + feeds["token"]) % VOCABULARY,
        }

    def close(self) -> None: ...


@pytest.fixture
def made() -> tuple[SequenceDecoder, Encoder, Step]:
    encoder, step = Encoder(), Step()
    return SequenceDecoder(encoder, step, FACTS, SOURCE, Axis(1, 2, 6, "batch")), encoder, step


def test_turns_change_no_token(made) -> None:
    decoder, encoder, step = made
    source = np.random.default_rng(1).integers(0, 20, (10, 3))
    found = decoder.greedy(source)
    together = greedy(Decoder(Encoder(), Step()), {"source": source}, start=1, end=2, limit=8)
    assert found == together
    assert len({h.tokens for h in found}) > 3
    assert max(encoder.batches) == 3
    wide = decoder.beam_search(source, width=4)
    assert max(step.batches) == 4
    assert [[h.tokens for h in row] for row in wide] == [
        [h.tokens for h in row]
        for row in beam_search(Decoder(Encoder(), Step()), {"source": source}, start=1, end=2, limit=8, width=4)
    ]


def test_what_is_forced_is_scored_as_it_would_be_chosen(made) -> None:
    decoder = made[0]
    source = np.random.default_rng(2).integers(0, 20, (5, 4))
    found = decoder.greedy(source)
    targets = np.full((5, 8), 2)
    for row, hypothesis in zip(targets, found, strict=True):
        row[: len(hypothesis.tokens)] = hypothesis.tokens
    total = np.zeros(5)
    for rows, place, scores in decoder.forced(source, targets):
        assert scores.shape == (len(rows), VOCABULARY)
        for row, score in zip(rows, scores, strict=True):
            if place < len(found[row].tokens) + found[row].finished:
                assert score.argmax() == targets[row, place]
                total[row] += score.max()
    np.testing.assert_allclose(total, [h.log_probability for h in found], rtol=0, atol=1e-12)


def test_sentences_are_padded_to_the_longest_and_to_the_least(made) -> None:
    decoder = made[0]
    assert decoder.padded([[5, 8, 12], [4]]).tolist() == [[5, 8, 12], [4, 0, 0]]
    assert decoder.padded([[5]]).tolist() == [[5, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.padded([]), "no source tokens are given"),
        (lambda d: d.padded([[]]), "no source tokens are given"),
        (lambda d: d.padded([[1] * 6]), "a source has 6 tokens and the encoder takes 5 at the most"),
        (lambda d: d.padded([[1, 20]]), "token 20 is out of range. 'source' takes whole numbers from 0 to 19"),
        (lambda d: d.padded([[-1]]), "token -1 is out of range"),
        (lambda d: d.greedy(np.array([[1, 25]])), "token 25 is out of range"),
        (lambda d: d.greedy(np.ones((2, 6), np.int64)), "sources have 6 tokens"),
        (lambda d: d.greedy(np.ones((2, 3), np.int32)), "sources are int32"),
        (lambda d: d.greedy(np.ones((2, 3), np.int64), limit=9), "limit 9 is above 8"),
        (lambda d: d.greedy(np.ones((2, 3), np.int64), limit=0), "limit 0 is below 1"),
        (lambda d: d.beam_search(np.ones((2, 3), np.int64), width=0), "beam width 0 is below 1"),
        (lambda d: d.beam_search(np.ones((2, 3), np.int64), width=7), "a beam of 7 runs the step on 7 rows"),
    ],
)
def test_what_does_not_fit_is_one_line(made, call, message) -> None:
    with pytest.raises(InputError) as caught:
        call(made[0])
    assert message in str(caught.value)
