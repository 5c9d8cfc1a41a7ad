"""PSNR against its formula; what counts as an image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnexport.runtime.metrics import Psnr, is_image
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 2, 4, "batch")


def _spec(channels: int, side: int, dtype: str = "float32", rank: int = 4) -> TensorSpec:
    axes = (BATCH, Axis.fixed(channels), Axis.fixed(side), Axis.fixed(side), Axis.fixed(2))[:rank]
    return TensorSpec("y", dtype, axes)


def test_it_is_the_formula_over_all_batches() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(-1, 3, size=(5, 3, 8, 8))
    got = (truth + rng.normal(size=truth.shape) * 0.02).astype(np.float32)
    metric = Psnr()
    for i in range(5):
        metric.add(got[i : i + 1], truth[i : i + 1], truth[i : i + 1], None)
    mse = np.mean((got.astype(np.float64) - truth) ** 2)
    peak = truth.max() - truth.min()
    figures = metric.figures()
    assert figures["decibels"] == pytest.approx(10 * math.log10(peak**2 / mse), rel=1e-12)
    assert figures["decibels"] == pytest.approx(46, abs=1), "0.02 of a range of 4"
    assert figures["peak"] == pytest.approx(peak)


@pytest.mark.parametrize(("got", "decibels"), [(np.ones((1, 1, 8, 8)), math.inf), (np.zeros((1, 1, 8, 8)), -math.inf)])
def test_no_difference_and_no_range_are_infinite(got: np.ndarray, decibels: float) -> None:
    metric = Psnr()
    metric.add(got, np.ones((1, 1, 8, 8)), got, None)
    assert metric.figures()["decibels"] == decibels


@pytest.mark.parametrize(
    ("spec", "image"),
    [
        (_spec(3, 32), True),
        (_spec(1, 8), True),
        (_spec(3, 32, "float16"), True),
        (_spec(2, 32), False),
        (_spec(3, 7), False),
        (_spec(3, 32, "uint8"), False),
        (_spec(3, 32, rank=3), False),
        (_spec(3, 32, rank=5), False),
        (TensorSpec("y", "float32", (BATCH, Axis(1, 3, 3, "c"), Axis.fixed(9), Axis.fixed(9))), False),
    ],
)
def test_images_have_one_or_three_channels_and_some_pixels(spec: TensorSpec, image: bool) -> None:
    assert is_image(spec) is image
