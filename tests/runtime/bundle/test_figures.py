"""The gate compares errors with PyTorch's: twice a small error passes, three times does not, whatever the scale."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnexport.runtime.bundle.figures import Figures, Gate, rounding_floor


def _figures(rms: float, reference_rms: float = 1.0) -> Figures:
    return Figures(rms, rms, rms / reference_rms if reference_rms else 0.0, 1.0, reference_rms, 10)


@pytest.mark.parametrize("precision", ["float16", "float32", "float64"])
@pytest.mark.parametrize("size", [1.0, 3.7, 1024.0])
def test_the_floor_is_half_an_ulp_at_the_truths_rms(precision: str, size: float) -> None:
    spacing = float(np.finfo(precision).eps) / 2
    assert rounding_floor(precision, size) == spacing * size


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_the_floor_of_zeros_is_half_the_smallest_subnormal(precision: str) -> None:
    assert rounding_floor(precision, 0.0) == float(np.finfo(precision).smallest_subnormal) / 2


@pytest.mark.parametrize("precision", ["int64", "uint8", "bool"])
def test_integers_have_nothing_to_round(precision: str) -> None:
    assert rounding_floor(precision, 5.0) == 0.0
    exact = Gate.judge(_figures(0.0), torch_rms=0.0, precision=precision, factor=2.0)
    assert (exact.ratio, exact.passed) == (0.0, True)
    wrong = Gate.judge(_figures(1e-9), torch_rms=0.0, precision=precision, factor=2.0)
    assert (wrong.ratio, wrong.passed) == (math.inf, False)


@pytest.mark.parametrize(("times", "passed"), [(0.0, True), (1.0, True), (2.0, True), (2.01, False), (100.0, False)])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_the_ratio_decides_at_any_scale(times: float, passed: bool, scale: float) -> None:
    own = 1e-6 * scale
    gate = Gate.judge(_figures(times * own, scale), torch_rms=own, precision="float32", factor=2.0)
    assert gate.ratio == pytest.approx(times)
    assert gate.passed is passed
    assert (gate.torch_rms, gate.factor, gate.floor) == (own, 2.0, rounding_floor("float32", scale))


def test_where_pytorch_is_exact_one_rounding_is_still_allowed() -> None:
    half_ulp = 2.0**-24
    assert Gate.judge(_figures(half_ulp), torch_rms=0.0, precision="float32", factor=2.0).ratio == 1.0
    assert not Gate.judge(_figures(3 * half_ulp), torch_rms=0.0, precision="float32", factor=2.0).passed


@pytest.mark.parametrize("rms", [math.nan, math.inf])
def test_what_is_not_finite_never_passes(rms: float) -> None:
    assert not Gate.judge(_figures(rms), torch_rms=1.0, precision="float32", factor=2.0).passed
    assert not Gate.judge(_figures(1.0), torch_rms=math.nan, precision="float32", factor=2.0).passed


@pytest.mark.parametrize(
    ("precision", "limit"),
    [("float32", 1e-2), ("float64", 1e-2), ("float16", 0.1), ("bfloat16", 0.1)],
)
@pytest.mark.parametrize(("times", "verdict"), [(0.99, "pass"), (1.01, "unstable")])
def test_an_output_is_unstable_if_pytorch_itself_is_far_off(
    precision: str, limit: float, times: float, verdict: str
) -> None:
    """The export errs as PyTorch does, so the ratio is 1 in both cases."""
    scale = 8.0
    error = times * limit * scale
    gate = Gate.judge(_figures(error, scale), torch_rms=error, precision=precision, factor=2.0)
    assert (gate.ratio, gate.passed) == (1.0, True)
    assert gate.torch_relative == pytest.approx(times * limit)
    assert (gate.unstable, gate.verdict) == (verdict == "unstable", verdict)


def test_outputs_smaller_than_the_type_can_hold_are_not_unstable() -> None:
    """PyTorch's FP16 is 0 for 1e-8; the rounding floor allows it, and no instability is behind it."""
    gate = Gate.judge(_figures(1e-8, 1e-8), torch_rms=1e-8, precision="float16", factor=2.0)
    assert gate.verdict == "pass"
    assert Gate.judge(_figures(1e-7, 1e-7), torch_rms=1e-7, precision="float16", factor=2.0).verdict == "unstable"


def test_a_failed_gate_is_a_failure_whether_unstable_or_not() -> None:
    gate = Gate.judge(_figures(0.9), torch_rms=0.3, precision="float32", factor=2.0)
    assert (gate.unstable, gate.verdict) == (True, "fail")


@pytest.mark.parametrize("rms", [1e-7, 0.5])
def test_the_gate_records_the_error_beside_pytorchs(rms: float) -> None:
    gate = Gate.judge(_figures(rms, 2.0), torch_rms=rms, precision="float32", factor=2.0)
    assert (gate.rms, gate.relative, gate.cosine) == (rms, rms / 2.0, 1.0)


@pytest.mark.parametrize(
    ("ratio", "interval", "passed", "straddles"),
    [
        (1.9, (1.7, 2.1), True, True),
        (1.9, (1.8, 1.95), True, False),
        (2.2, (1.9, 2.6), True, True),
        (2.2, (2.1, 2.3), False, False),
        (2.6, (1.0, 4.0), False, False),  # one wrong row of many has such an interval
        (2.2, None, False, False),
    ],
)
def test_a_ratio_near_the_limit_fails_only_if_its_interval_is_above_it(
    ratio: float, interval: tuple[float, float] | None, passed: bool, straddles: bool
) -> None:
    gate = Gate.judge(_figures(ratio), torch_rms=1.0, precision="bool", factor=2.0, interval=interval)
    assert (gate.passed, gate.straddles) == (passed, straddles)
    assert gate.limit == (2.5 if ratio > 2.0 and interval is not None else 2.0)


def test_layers_of_8_bits_are_never_unstable() -> None:
    gate = Gate.judge(_figures(0.3), torch_rms=0.3, precision="int8+float16", factor=2.0)
    assert gate.verdict == "pass"
