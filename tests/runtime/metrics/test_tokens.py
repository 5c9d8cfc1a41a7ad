"""Token accuracy: places and whole sequences, from logits or from tokens."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import ParityError
from attnexport.runtime.metrics import TokenAccuracy


def _logits(tokens: np.ndarray) -> np.ndarray:
    return np.eye(6)[tokens]


@pytest.mark.parametrize("form", ["logits", "tokens"])
def test_places_and_sequences_are_counted_over_batches(form: str) -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 6, (10, 4))
    got = truth.copy()
    got[0, 1] = (got[0, 1] + 1) % 6
    got[7] = (got[7] + 1) % 6
    make = _logits if form == "logits" else np.asarray
    metric = TokenAccuracy()
    for part in (slice(0, 3), slice(3, 10)):
        metric.add(make(got[part]), make(truth[part]), make(truth[part]), None)
    assert metric.figures() == {"accuracy": 35 / 40, "sequences": 8 / 10, "places": 40}


def test_one_step_has_one_place() -> None:
    metric = TokenAccuracy()
    metric.add(_logits(np.array([1, 2])), _logits(np.array([1, 3])), _logits(np.array([1, 3])), None)
    assert metric.figures() == {"accuracy": 0.5, "sequences": 0.5, "places": 2}


def test_shapes_that_are_unlike_are_refused() -> None:
    with pytest.raises(ParityError, match="token accuracy needs two sets"):
        TokenAccuracy().add(np.zeros((2, 3)), np.zeros((2, 4)), np.zeros((2, 4)), None)
