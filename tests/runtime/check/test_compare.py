"""What an output must be at all, each fault in its own words; and errors against plain NumPy formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from attnexport.errors import ParityError
from attnexport.runtime.check.compare import ErrorMeter, check_outputs
from attnexport.runtime.spec import Axis, TensorSpec

BATCH = Axis(1, 2, 4, "batch")
SPECS = (TensorSpec("y", "float32", (BATCH, Axis.fixed(3))), TensorSpec("best", "int64", (BATCH,)))
Y = np.array([[1, -2, 3], [4, 5, 6]], np.float32)
GOOD = {"y": Y, "best": np.array([2, 2])}
TRUTH = {"y": Y.astype(np.float64), "best": np.array([2, 2])}


def _with(index: tuple[int, int], value: float) -> np.ndarray:
    array = Y.copy()
    array[index] = value
    return array


def test_good_outputs_pass_with_and_without_truth() -> None:
    check_outputs(SPECS, GOOD, reference=TRUTH)
    check_outputs(SPECS, GOOD)
    check_outputs(SPECS, GOOD, sizes={"batch": 2})


FAULTS: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "missing": ({"y": Y}, "output 'best' of m.onnx is missing"),
    "extra": ({**GOOD, "z": Y}, "m.onnx has an extra output 'z'"),
    "rank": ({**GOOD, "y": Y[0]}, r"output 'y' of m.onnx has rank 1 (shape (3,)) and must have rank 2"),
    "fixed axis": ({**GOOD, "y": Y[:, :2]}, "output 'y' of m.onnx has shape (2, 2) and must have (2, 3)"),
    "batch": ({**GOOD, "best": GOOD["best"][:1]}, "output 'best' of m.onnx has shape (1,) and must have (2)"),
    "dtype": ({**GOOD, "y": Y.astype(np.float16)}, "output 'y' of m.onnx has dtype float16 and must have float32"),
    "integer dtype": ({**GOOD, "best": np.array([2, 2], np.int32)}, "has dtype int32 and must have int64"),
    "nan": ({**GOOD, "y": _with((0, 1), np.nan)}, "holds 1 NaN of 6 values and the reference has none"),
    "inf": ({**GOOD, "y": _with((0, 1), -np.inf)}, "holds 1 Inf of 6 values and the reference has none"),
    "zeros": ({**GOOD, "y": np.zeros_like(Y)}, "output 'y' of m.onnx is all zeros and the reference is not"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_own_message(fault: str) -> None:
    got, problem = FAULTS[fault]
    with pytest.raises(ParityError) as caught:
        check_outputs(SPECS, got, reference=TRUTH, of="m.onnx")
    assert problem in str(caught.value)
    assert caught.value.stage == "verify"


@pytest.mark.parametrize("fault", [f for f in FAULTS if "zeros" not in f])
def test_all_but_zeros_are_faults_without_truth_too(fault: str) -> None:
    got, problem = FAULTS[fault]
    with pytest.raises(ParityError) as caught:
        check_outputs(SPECS, got, sizes={"batch": 2}, of="m.onnx")
    assert problem in str(caught.value)


SCALE = "for an untrained network use --random-weights, which scales its weights."


@pytest.mark.parametrize(
    ("largest", "said"),
    [
        (2.0**-25, f": the largest value is 3.0e-08, and FP16 holds nothing below 6e-08. {SCALE}"),
        (1e-50, f": the largest value is 1.0e-50, and FP32 holds nothing below 1e-45. {SCALE}"),
        (2.0**-24, "."),
    ],
)
def test_a_truth_that_fp16_cannot_hold_is_said(largest: float, said: str) -> None:
    truth = {"y": np.array([[0, -largest, largest / 2]])}
    with pytest.raises(ParityError) as caught:
        check_outputs(SPECS[:1], {"y": np.zeros((1, 3), np.float32)}, reference=truth)
    assert str(caught.value) == f"verify: output 'y' of the model is all zeros and the reference is not{said}"


def test_a_size_that_nobody_knows_is_not_guessed() -> None:
    check_outputs(SPECS, {"y": Y[:1], "best": GOOD["best"]})
    with pytest.raises(ParityError, match=r"must have \(\?, 3\)"):
        check_outputs(SPECS, {"y": Y[:, :2], "best": GOOD["best"]})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_the_truth_has_too_is_no_fault_but_only_at_its_place(value: float) -> None:
    specs, truth = SPECS[:1], {"y": _with((1, 1), value).astype(np.float64)}
    check_outputs(specs, {"y": _with((1, 1), value)}, reference=truth)
    with pytest.raises(ParityError, match=r"holds 1 (NaN|Inf) of 6"):
        check_outputs(specs, {"y": _with((1, 2), value)}, reference=truth)


def test_zeros_are_right_where_the_truth_is_zero() -> None:
    check_outputs(SPECS[:1], {"y": np.zeros_like(Y)}, reference={"y": np.zeros((2, 3))})


@pytest.mark.parametrize("split", [1, 3, 10])
def test_figures_are_those_of_the_formulas_however_the_batches_lie(split: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(10, 7)) * 5
    got = (truth + rng.normal(size=truth.shape) * 1e-3).astype(np.float32)
    meter = ErrorMeter()
    for start in range(0, 10, split):
        meter.add(got[start : start + split], truth[start : start + split])
    figures = meter.figures()
    error = got.astype(np.float64) - truth
    assert figures.count == 70
    assert figures.rms == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
    assert figures.max_abs == np.abs(error).max()
    assert figures.reference_rms == pytest.approx(np.sqrt(np.mean(truth**2)), rel=1e-12)
    assert figures.relative == pytest.approx(np.linalg.norm(error) / np.linalg.norm(truth), rel=1e-12)
    wide = got.astype(np.float64)
    assert figures.cosine == pytest.approx(
        (wide * truth).sum() / np.linalg.norm(wide) / np.linalg.norm(truth), rel=1e-12
    )
    assert list(figures.to_json()) == ["rms", "max_abs", "relative", "cosine", "reference_rms", "count"]


@pytest.mark.parametrize(
    ("got", "truth", "rms", "relative", "cosine"),
    [
        ([0.0, 0.0], [0.0, 0.0], 0.0, 0.0, 1.0),
        ([3.0, 4.0], [0.0, 0.0], math.sqrt(12.5), math.inf, 0.0),
        ([0.0, 0.0], [3.0, 4.0], math.sqrt(12.5), 1.0, 0.0),
        ([-3.0, -4.0], [3.0, 4.0], math.sqrt(50), 2.0, -1.0),
        ([1.0, np.inf], [1.0, np.inf], 0.0, 0.0, 1.0),
        ([1.0, np.nan], [1.0, np.nan], 0.0, 0.0, 1.0),
        ([1.0, 5.0], [1.0, np.inf], math.inf, math.inf, 1.0),
        ([1.0, np.inf], [1.0, -np.inf], math.inf, math.inf, 1.0),
        ([1.0, np.nan], [1.0, 2.0], math.inf, math.inf, 1.0),
    ],
)
def test_zeros_and_what_is_not_finite_have_definite_figures(
    got: Any, truth: Any, rms: float, relative: float, cosine: float
) -> None:
    meter = ErrorMeter()
    meter.add(np.array(got), np.array(truth))
    figures = meter.figures()
    assert (figures.rms, figures.relative, figures.cosine) == pytest.approx((rms, relative, cosine))
    assert math.isinf(figures.max_abs) == math.isinf(rms)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_and_bools_are_compared_without_wrapping(dtype: str) -> None:
    meter = ErrorMeter()
    meter.add(np.array([0, 1]).astype(dtype), np.array([1, 0]).astype(dtype))
    assert (meter.figures().rms, meter.figures().max_abs) == (1.0, 1.0)


def test_a_float16_overflow_is_not_hidden_by_float16_arithmetic() -> None:
    meter = ErrorMeter()
    meter.add(np.array([60000.0], np.float16), np.array([-60000.0]))
    assert meter.figures().max_abs == pytest.approx(120000, rel=1e-3)


def test_meters_that_are_merged_are_one_meter() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(6, 5))
    got = truth + rng.normal(size=truth.shape) * 1e-2
    whole, first, second = ErrorMeter(), ErrorMeter(), ErrorMeter()
    whole.add(got, truth)
    first.add(got[:2], truth[:2])
    second.add(got[2:], truth[2:])
    first.merge(second)
    merged, expected = first.figures(), whole.figures()
    assert merged.to_json() == pytest.approx(expected.to_json(), rel=1e-12)


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ParityError, match=r"\(3, 1\) and \(1, 3\) cannot be compared"):
        ErrorMeter().add(np.zeros((3, 1)), np.zeros((1, 3)))


def test_nothing_compared_proves_nothing() -> None:
    meter = ErrorMeter()
    meter.add(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(ParityError, match="nothing was compared"):
        meter.figures()


@pytest.mark.parametrize(("noise", "passes"), [(0.0, False), (0.9e-11, False), (2e-11, True)])
def test_zeros_pass_where_the_reference_is_within_the_rounding_of_pytorch(noise: float, passes: bool) -> None:
    """1 minus a gate that FP32 rounds to 1 is 0, and 1e-11 in FP64."""
    truth, got = {"y": np.array([[1e-11, -1e-11, 1e-11]])}, {"y": np.zeros((1, 3), np.float32)}
    if passes:
        check_outputs(SPECS[:1], got, reference=truth, noise={"y": noise})
        return
    with pytest.raises(ParityError, match="is all zeros and the reference is not"):
        check_outputs(SPECS[:1], got, reference=truth, noise={"y": noise})
