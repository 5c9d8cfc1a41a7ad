"""Angles of positions that are computed in the graph stay FP32; a sine of features does not."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.precision import convert, decide, to_half_model

SHELL = """g ({}) => ({}) <float[1, 8] f = {{1, 0.5, 0.3, 0.1, 0.05, 0.03, 0.01, 0.001}}, float zero = {{0}},
  float one = {{1}}, float[8, 8] w, int64 axis = {{0}}, int64[2] column = {{-1, 1}}> {{ {} }}"""
COUNTED = {
    "cast integers": ("int64[n, 1] p", "float[n, 8] y", "q = Cast<to = 1>(p)  a = Mul(q, f)  y = Sin(a)", "qay"),
    "an outer product": ("int64[n, 1] p", "float[n, 8] y", "q = Cast<to = 1>(p)  a = MatMul(q, f)  y = Cos(a)", "qay"),
    "a range of floats": (
        "float n", "float[m, 8] y", "r = Range(zero, n, one)  q = Reshape(r, column)  a = Mul(q, f)  y = Sin(a)", "ray",
    ),
    "a running sum (DETR)": (
        "float[5, 1] p", "float[5, 8] y", "q = CumSum(p, axis)  a = Mul(q, f)  y = Sin(a)", "qay",
    ),
    "an input": ("float[n, 1] p", "float[n, 8] y", "a = Mul(p, f)  y = Sin(a)", "ay"),
}  # fmt: skip
FEATURES = "a = MatMul(p, w)  b = Mul(a, f)  y = Sin(b)"


@pytest.mark.parametrize("case", COUNTED)
def test_an_angle_of_positions_is_a_hazard(model, case):
    given, made, body, nodes = COUNTED[case]
    found = decide(weighted(model, given, made, body), only="hazard")
    assert {d.node for d in found} == set(nodes)
    # Range has no FP16 form in the first place.
    assert {d.rule for d in found} <= {"positions", "bodies"}
    reasons = {d.node: d.reason for d in found}
    assert reasons["a"] == "it makes the angle of a position encoding ('y'): FP16 counts exactly only up to 2048"
    assert reasons["y"] in ("the sine of a position's angle", "the cosine of a position's angle")


def test_a_sine_of_features_is_left(model):
    assert decide(weighted(model, "float[n, 8] p", "float[n, 8] y", FEATURES)) == []


def test_positions_beyond_2048_keep_their_code(model, emulated):
    given, made, body, _ = COUNTED["cast integers"]
    source = weighted(model, given, made, body)
    p = np.arange(4000, 4064)[:, None]
    expected = np.sin(p * np.array([[1, 0.5, 0.3, 0.1, 0.05, 0.03, 0.01, 0.001]]))
    # FP32 itself has a raster of 2.4e-4 at 4000.
    np.testing.assert_allclose(emulated(convert(source).model, p=p)[0], expected, atol=5e-4)
    assert np.abs(emulated(to_half_model(source, []), p=p)[0] - expected).max() > 0.5


def weighted(model, given: str, made: str, body: str):
    numbers = ", ".join(["0.5"] * 64)
    return model(SHELL.format(given, made, body).replace("w,", f"w = {{{numbers}}},"))
