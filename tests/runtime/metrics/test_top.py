"""Top-1 and top-5 against plain sorting; ties are told apart from changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from attnexport.errors import ParityError
from attnexport.runtime.metrics import Top, TopK, top_k

TIES = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5 + 1e-3], [3.0, -3.0]])


def test_top1_counts_every_other_class_and_which_are_ties() -> None:
    got = np.array([[0.0, 1.0], [0.0, 1.0], [0.501, 0.5], [3.0, -3.0]], np.float32)
    least = pytest.approx(1e-3)
    assert top_k(TIES, got, 1) == TopK(1, 4, 2, 0, least)
    assert top_k(TIES, got, 1, torch_max_error=1e-3) == TopK(1, 4, 2, 1, least), "1e-3 apart; PyTorch itself errs 1e-3"
    assert top_k(TIES, got, 1, torch_max_error=2e-4) == TopK(1, 4, 2, 0, least)
    assert top_k(TIES, got, 1).to_json() == {
        "k": 1, "count": 4, "disagreements": 2, "within_margin": 0, "least_margin": least, "agreement": 0.5,
    }  # fmt: skip


def test_top1_agrees_with_itself_and_with_one_class() -> None:
    assert top_k(TIES, TIES.astype(np.float16), 1).agreement == 1.0
    assert top_k(TIES[:, :1], TIES[:, :1], 1) == TopK(1, 4, 0, 0, math.inf)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_best_classes_are_compared_as_sets(k: int) -> None:
    rng = np.random.default_rng(k)
    truth = rng.normal(size=(200, 7))
    got = (truth + rng.normal(size=truth.shape) * 0.3).astype(np.float32)
    found = top_k(truth, got, k, torch_max_error=0.05)
    changed = ties = 0
    margins = []
    for true, mine in zip(truth, got, strict=True):
        order = sorted(true, reverse=True)
        margins.append(order[k - 1] - order[k])
        if set(np.argsort(true)[-k:].tolist()) != set(np.argsort(mine)[-k:].tolist()):
            changed += 1
            ties += margins[-1] < 0.2
    assert 10 < changed < 200
    assert 0 < ties < changed
    assert found == TopK(k, 200, changed, ties, pytest.approx(min(margins)))


def test_top5_ignores_the_order_of_the_best_five() -> None:
    truth = np.arange(8.0)[None]
    swapped = truth[:, [0, 1, 2, 4, 3, 5, 7, 6]]
    assert top_k(truth, swapped, 5).agreement == 1.0
    assert top_k(truth, swapped, 1).agreement == 0.0


@pytest.mark.parametrize(
    "shapes", [((4,), (4,)), ((4, 2), (3, 2)), ((0, 2), (0, 2)), ((4, 0), (4, 0)), ((4, 2, 1), (4, 2, 1))]
)
def test_it_takes_logits_only(shapes: Any) -> None:
    with pytest.raises(ParityError, match="top-5 needs two sets of logits"):
        top_k(np.zeros(shapes[0]), np.zeros(shapes[1]), 5)


def test_the_metric_gathers_batches_margins_and_accuracy() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(size=(30, 9))
    labels = truth.argmax(1)
    labels[:3] = (labels[:3] + 1) % 9
    got = truth.copy()
    got[10] = -got[10]
    metric = Top(1)
    for part in (slice(0, 7), slice(7, 30)):
        metric.add(got[part], truth[part], truth[part] + 1e-9, labels[part])
    figures = metric.figures()
    assert (figures["count"], figures["disagreements"], figures["within_margin"]) == (30, 1, 0)
    assert figures["original_accuracy"] == pytest.approx(27 / 30)
    assert figures["accuracy"] == pytest.approx(26 / 30)
    assert metric.changed() == 1
    metric.add(got[:1], truth[:1], truth[:1], None)
    assert "accuracy" not in metric.figures(), "only where every batch has labels"
