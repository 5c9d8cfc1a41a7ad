"""The comparison of a contender with the reference: the error, and its limits."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.errors import ParityError
from attnexport.export.bench.agreement import LIMITS, difference
from attnexport.runtime.spec import Axis, TensorSpec

Y = TensorSpec("y", "float32", (Axis.fixed(4),))
CLASS = TensorSpec("class", "int64", (Axis.fixed(200),))
REFERENCE = {"y": np.array([3.0, -4.0, 3.0, 4.0], np.float32), "class": np.arange(200)}


def off(by: float) -> np.ndarray:
    """REFERENCE's y with an error of ``by`` times its rms."""
    rms = np.sqrt(np.mean(REFERENCE["y"] ** 2))
    return np.asarray(REFERENCE["y"] + by * rms, np.float32)


@pytest.mark.parametrize("precision", LIMITS)
def test_the_error_is_relative_to_the_rms_and_limited_by_precision(precision: str) -> None:
    limit = LIMITS[precision]
    assert difference([Y], {"y": off(0.9 * limit)}, REFERENCE, precision, "it") == pytest.approx(0.9 * limit, rel=1e-4)
    with pytest.raises(ParityError, match=r"output 'y' of it: error is .* of its rms; the limit is"):
        difference([Y], {"y": off(1.1 * limit)}, REFERENCE, precision, "it")


def test_the_error_of_integers_is_the_share_that_differs() -> None:
    two = REFERENCE["class"].copy()
    two[:2] = 7
    assert difference([CLASS], {"class": two}, REFERENCE, "float32", "it") == 0.01
    three = two.copy()
    three[:3] = 7
    with pytest.raises(ParityError, match="'class'"):
        difference([CLASS], {"class": three}, REFERENCE, "float32", "it")


def test_the_error_is_that_of_the_worst_output() -> None:
    outputs = {"y": off(0.005), "class": REFERENCE["class"]}
    assert difference([Y, CLASS], outputs, REFERENCE, "float32", "it") == pytest.approx(0.005, rel=1e-4)


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({}, "missing"),
        ({"y": np.zeros(4, np.float32)}, "all zeros"),
        ({"y": np.full(4, np.nan, np.float32)}, "NaN"),
        ({"y": np.ones(5, np.float32)}, "shape"),
        ({"y": REFERENCE["y"].astype(np.float64)}, "float64"),
        ({"y": REFERENCE["y"], "z": REFERENCE["y"]}, "extra"),
    ],
)
def test_outputs_without_a_result_are_errors(outputs: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(ParityError, match=words):
        difference([Y], outputs, REFERENCE, "int8", "it")
