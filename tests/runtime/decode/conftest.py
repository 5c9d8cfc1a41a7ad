"""A small language whose probabilities are known in full: what follows depends on the last two tokens and on the source."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pytest

from attnexport.runtime.decode.decoder import Decoder

START, END = 0, 1


class Encoder:
    """source (N, V) -> bias (N, V), before (N,): the token before the last, at first START."""

    input_names = ("source",)
    output_names = ("bias", "before", "unused")

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        source = feeds["source"]
        return {"bias": source, "before": np.full(len(source), START, np.int64), "unused": np.zeros(3)}

    def close(self) -> None: ...


class Step:
    """logits[n] = table[before[n], token[n]] + bias[n]; batches and last tokens are recorded."""

    input_names = ("before", "token", "bias")
    output_names = ("next_before", "logits", "attention")

    def __init__(self, table: np.ndarray) -> None:
        self.table = table
        self.batches: list[int] = []

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert set(feeds) == set(self.input_names)
        assert feeds["token"].dtype == np.int64
        self.batches.append(len(feeds["token"]))
        logits = self.table[feeds["before"], feeds["token"]] + feeds["bias"]
        attention = np.stack([feeds["before"], feeds["token"]], 1)
        return {"logits": logits.astype(np.float32), "next_before": feeds["token"], "attention": attention}

    def close(self) -> None: ...


class Language:
    """The pair of sessions over one random table, and every sequence's log-probability by enumeration."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        self.vocabulary = vocabulary
        self.table = np.random.default_rng(seed).normal(size=(vocabulary, vocabulary, vocabulary)) * 2
        self.step = Step(self.table)
        self.decoder = Decoder(Encoder(), self.step)

    def log_probability(self, source: np.ndarray, tokens: tuple[int, ...]) -> float:
        """Of ``tokens`` as they are: an end, where it counts, is one of them."""
        before, last, total = START, START, 0.0
        for token in tokens:
            weights = np.exp((self.table[before, last] + source).astype(np.float32).astype(np.float64))
            total += np.log(weights[token] / weights.sum())
            before, last = last, token
        return float(total)

    def sentences(self, limit: int) -> list[tuple[int, ...]]:
        """Every sequence that ends within ``limit`` tokens, without its end."""
        words = [t for t in range(self.vocabulary) if t != END]
        return [s for n in range(limit) for s in itertools.product(words, repeat=n)]


@pytest.fixture
def language():
    return Language
