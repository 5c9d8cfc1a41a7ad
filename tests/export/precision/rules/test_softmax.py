"""Softmax stays FP32, whole or spelled out; an Exp that is no softmax does not."""

from __future__ import annotations

import pytest

from attnexport.export.precision import decide


def decided(model) -> dict[str, str]:
    """Node to reason, of this rule alone."""
    return {d.node: d.reason for d in decide(model) if d.rule == "softmax"}


REASON = "the exponentials of a softmax and their sum need more range and digits than FP16 has"

FIRES = {
    "Softmax": ("y = Softmax(x)", {"y"}),
    "LogSoftmax": ("y = LogSoftmax(x)", {"y"}),
    "spelled out": (
        "m = ReduceMax(x, last)  d = Sub(x, m)  e = Exp(d)  s = ReduceSum(e, last)  y = Div(e, s)",
        set("mdesy"),
    ),
    "without the maximum": ("e = Exp(x)  s = ReduceSum(e, last)  y = Div(e, s)", set("esy")),
    "through data movement": (
        "e = Exp(x)  t = Transpose(e)  s = ReduceSum(t, first)  u = Transpose(s)  y = Div(e, u)",
        set("esy"),
    ),
    "unrolled, weights applied first": (
        "p, q = Split<axis = 1, num_outputs = 2>(x)  m = Max(p, q)  a = Sub(p, m)  b = Sub(q, m)"
        "  e = Exp(a)  f = Exp(b)  s = Add(e, f)"
        "  v = Mul(e, p)  w = Mul(f, q)  n = Add(v, w)  z = Div(n, s)  y = Concat<axis = 1>(z, z)",
        set("mabefsz"),
    ),
    "by a reciprocal": ("e = Exp(x)  s = ReduceSum(e, last)  r = Reciprocal(s)  y = Mul(e, r)", set("esry")),
}
STAYS = {
    "Exp alone": "e = Exp(x)  y = Mul(e, x)",
    "a sum that is not divided by": "e = Exp(x)  s = ReduceSum(e, last)  y = Mul(e, s)",
    "a division by one exponential": "e = Exp(x)  y = Div(x, e)",
    "Sigmoid": "y = Sigmoid(x)",
    "a division by a plain sum": "s = ReduceSum(x, last)  y = Div(x, s)",
}
SHELL = "g (float[2, 8] x) => (float[2, 8] y) <int64[1] last = {{1}}, int64[1] first = {{0}}> {{ {} }}"


@pytest.mark.parametrize("case", FIRES)
def test_a_softmax_stays_fp32(model, case):
    body, nodes = FIRES[case]
    assert decided(model(SHELL.format(body))) == dict.fromkeys(nodes, REASON)


@pytest.mark.parametrize("case", STAYS)
def test_what_is_no_softmax_is_left(model, case):
    assert decided(model(SHELL.format(STAYS[case]))) == {}
