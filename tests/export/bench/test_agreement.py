"""What is timed is right: the difference that is measured, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import ParityError
from attnexport.export.bench.agreement import LIMITS, difference
from attnexport.runtime.spec import Axis, TensorSpec

Y = TensorSpec("y", "float32", (Axis.fixed(4),))
CLASS = TensorSpec("class", "int64", (Axis.fixed(200),))
TRUE = {"y": np.array([3.0, -4.0, 3.0, 4.0], np.float32), "class": np.arange(200)}


def off(by: float) -> np.ndarray:
    """TRUE's y, off by a part of its rms."""
    rms = np.sqrt(np.mean(TRUE["y"] ** 2))
    return np.asarray(TRUE["y"] + by * rms, np.float32)


@pytest.mark.parametrize("precision", LIMITS)
def test_the_difference_is_a_part_of_the_rms_and_has_a_limit_by_precision(precision: str) -> None:
    limit = LIMITS[precision]
    assert difference([Y], {"y": off(0.9 * limit)}, TRUE, precision, "it") == pytest.approx(0.9 * limit, rel=1e-4)
    with pytest.raises(ParityError, match=r"output 'y' of it is off by .* of its rms"):
        difference([Y], {"y": off(1.1 * limit)}, TRUE, precision, "it")


def test_of_integers_the_share_that_differs_counts() -> None:
    two = TRUE["class"].copy()
    two[:2] = 7
    assert difference([CLASS], {"class": two}, TRUE, "float32", "it") == 0.01
    three = two.copy()
    three[:3] = 7
    with pytest.raises(ParityError, match="'class'"):
        difference([CLASS], {"class": three}, TRUE, "float32", "it")


def test_the_worst_output_counts() -> None:
    found = {"y": off(0.005), "class": TRUE["class"]}
    assert difference([Y, CLASS], found, TRUE, "float32", "it") == pytest.approx(0.005, rel=1e-4)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "missing"),
        ({"y": np.zeros(4, np.float32)}, "all zeros"),
        ({"y": np.full(4, np.nan, np.float32)}, "NaN"),
        ({"y": np.ones(5, np.float32)}, "shape"),
        ({"y": TRUE["y"].astype(np.float64)}, "float64"),
        ({"y": TRUE["y"], "z": TRUE["y"]}, "extra"),
    ],
)
def test_what_is_no_result_at_all(found: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ParityError, match=words):
        difference([Y], found, TRUE, "int8", "it")
