"""IoU of masks against sets of pixels."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import ParityError
from attnexport.runtime.metrics import MeanIoU


def _figures(*pairs: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    metric = MeanIoU()
    for got, truth in pairs:
        metric.add(got, truth, truth, None)
    return metric.figures()


@pytest.mark.parametrize("shape", [(3, 5, 6, 7), (2, 4, 9), (2, 3, 4, 3, 3)])
def test_it_is_intersection_over_union_of_sets_of_pixels(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=shape)
    truth[:, 1] = -9  # a class that never occurs
    got = truth + rng.normal(size=shape) * 0.4
    a, b = truth.argmax(1), got.argmax(1)
    ious = {}
    for c in range(shape[1]):
        mine, theirs = ({tuple(p) for p in np.argwhere(mask == c)} for mask in (b, a))
        if mine | theirs:
            ious[c] = len(mine & theirs) / len(mine | theirs)
    figures = _figures((got[:1], truth[:1]), (got[1:], truth[1:]))
    assert figures["mean"] == pytest.approx(np.mean(list(ious.values())))
    assert 0.3 < figures["mean"] < 1
    assert figures["least"] == pytest.approx(min(ious.values()))
    assert ious[int(figures["least_class"])] == pytest.approx(min(ious.values()))
    assert figures["classes"] == len(ious) == shape[1] - 1
    assert figures["agree"] == pytest.approx((a == b).mean())


def test_one_channel_is_a_mask_of_two_classes() -> None:
    truth = np.array([1.0, 2.0, -1.0, -2.0]).reshape(1, 1, 2, 2)
    got = np.array([1.0, -2.0, -1.0, -2.0]).reshape(1, 1, 2, 2)
    figures = _figures((got, truth))
    assert figures["mean"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert figures["agree"] == 0.75


@pytest.mark.parametrize(("got", "truth"), [((1, 2), (1, 2)), ((1, 2, 3), (1, 2, 4))])
def test_an_output_that_is_not_a_mask_is_refused(got: tuple[int, ...], truth: tuple[int, ...]) -> None:
    with pytest.raises(ParityError, match="IoU needs two sets of logits"):
        _figures((np.zeros(got), np.zeros(truth)))
