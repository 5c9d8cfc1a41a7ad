"""Normalisation statistics stay FP32, whole or spelled out; a mean or a square alone does not."""

from __future__ import annotations

import pytest

from attnexport.export.precision import decide


def decided(model) -> dict[str, str]:
    """Node to reason, of this rule alone."""
    return {d.node: d.reason for d in decide(model) if d.rule == "normalisation"}


REASON = "normalisation statistics: the square of an activation of 256 is beyond FP16's range"

FIRES = {
    "LayerNormalization": ("y = LayerNormalization(x, w)", {"y"}),
    "InstanceNormalization": (
        "u = Unsqueeze(x, first)  n = InstanceNormalization(u, two, two)  y = Squeeze(n, first)",
        {"n"},
    ),
    "spelled out": (
        "m = ReduceMean(x, last)  d = Sub(x, m)  q = Pow(d, p)  v = ReduceMean(q, last)  e = Add(v, eps)  s = Sqrt(e)"
        "  n = Div(d, s)  y = Mul(n, w)",
        set("mdqvesn"),
    ),
    "root mean square": (
        "q = Mul(x, x)  v = ReduceMean(q, last)  e = Add(v, eps)  s = Sqrt(e)  r = Reciprocal(s)  y = Mul(x, r)",
        set("qvesry"),
    ),
    "difference of squares": (
        "m = ReduceMean(x, last)  q = Mul(x, x)  v = ReduceMean(q, last)  k = Mul(m, m)  f = Sub(v, k)"
        "  e = Add(f, eps)  s = Sqrt(e)  d = Sub(x, m)  y = Div(d, s)",
        set("mqvkfesy"),
    ),
    "unit length": ("l = ReduceL2(x, last)  c = Clip(l, eps)  t = Expand(c, full)  y = Div(x, t)", set("lcy")),
    "sum of squares": ("q = Mul(x, x)  v = ReduceSum(q, last)  s = Sqrt(v)  y = Div(x, s)", set("qvsy")),
}
STAYS = {
    "a mean": "m = ReduceMean(x, last)  y = Sub(x, m)",
    "a square": "q = Mul(x, x)  y = Add(q, x)",
    "a mean of a product": "q = Mul(x, w)  m = ReduceMean(q, last)  y = Sub(x, m)",
    "another power": "q = Pow(x, three)  m = ReduceMean(q, last)  y = Sub(x, m)",
    "BatchNormalization": "y = BatchNormalization(x, w, w, w, w)",
}
SHELL = """g (float[2, 8] x) => (float[2, 8] y) <int64[1] last = {{1}}, int64[1] first = {{0}},
  int64[2] full = {{2, 8}},
  float p = {{2}}, float three = {{3}}, float eps = {{0.001}}, float[8] w = {{1, 2, 3, 4, 5, 6, 7, 8}},
  float[2] two = {{1, 2}}> {{ {} }}"""


@pytest.mark.parametrize("case", FIRES)
def test_statistics_stay_fp32_up_to_the_division(model, case):
    body, nodes = FIRES[case]
    assert decided(model(SHELL.format(body))) == dict.fromkeys(nodes, REASON)


@pytest.mark.parametrize("case", STAYS)
def test_what_is_no_statistic_is_left(model, case):
    assert decided(model(SHELL.format(STAYS[case]))) == {}
