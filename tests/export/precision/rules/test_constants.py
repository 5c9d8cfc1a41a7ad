"""Constants beyond FP16 keep their node, and what depends on their value, in FP32."""

from __future__ import annotations

import pytest

from attnexport.export.precision import decide


def decided(model) -> dict[str, str]:
    """Node to reason, of this rule alone."""
    return {d.node: d.reason for d in decide(model) if d.rule == "constants"}


SHELL = """g (float[2, 4] x, bool[2, 4] c, float[4] s) => (float[2, 4] y)
  <float huge = {{-1e9}}, float tiny = {{1e-12}}, float one = {{1}}, float[4] wide = {{1, 2, 3, 1e6}},
  float[4] bias = {{1e-6, 0, 1e-7, 0}},
   float top = {{3e38}}, int64[1] last = {{1}}, float e5 = {{1e-5}}, float[1] z = {{0}}> {{ {} }}"""
TOO_LARGE = "constant 'huge' reaches 1e+09; FP16 ends at 65504"
CARRIES = "it carries the large values that constant 'huge' brings in"
TOO_SMALL = "constant 'tiny' is at most 1e-12; FP16 loses digits below 6.1e-05 and ends at 6e-08"
GUARDS = "it depends on constant 'tiny', which guards a division, a root or a logarithm and would vanish in FP16"

FIRES = {
    "added mask": ("y = Add(x, huge)", {"y": TOO_LARGE}),
    "chosen mask": ("y = Where(c, x, huge)", {"y": TOO_LARGE}),
    "mask made by a product": (
        "f = Cast<to = 1>(c)  g = Sub(one, f)  m = Mul(g, huge)  t = Transpose(m)  u = Transpose(t)  y = Add(x, u)",
        {"m": TOO_LARGE, "y": CARRIES},
    ),
    "weights": ("y = Mul(x, wide)", {"y": "constant 'wide' reaches 1e+06; FP16 ends at 65504"}),
    "epsilon by Clip": (
        "l = ReduceMax(x, last)  k = Clip(l, tiny)  y = Div(x, k)", {"k": TOO_SMALL, "y": GUARDS},
    ),
    "epsilon by Add, root": ((
"a = Abs(x)  e = Add(a, tiny)  r = Sqrt(e)"
"  y = Div(x, r)"
), {"e": TOO_SMALL, "r": GUARDS, "y": GUARDS}),
    "epsilon by Max, reciprocal": ((
"e = Max(x, tiny)  r = Reciprocal(e)"
"  y = Mul(x, r)"
), {"e": TOO_SMALL, "r": GUARDS, "y": GUARDS}),
    "epsilon of a logarithm": ("e = Add(x, tiny)  y = Log(e)", {"e": TOO_SMALL, "y": GUARDS}),
    "subnormal": ("y = Mul(x, e5)", {"y": (
"constant 'e5' is at most 1e-05; FP16 loses digits below 6.1e-05 and"
" ends at 6e-08"
)}),
}  # fmt: skip
STAYS = {
    "a bound that never binds": "y = Clip(x, one, top)",
    "a small bias": "y = Add(x, bias)",
    "zero": "y = Add(x, z)",
    "one": "y = Mul(x, one)",
    "a numerator": "y = Div(one, x)",
}


@pytest.mark.parametrize("case", FIRES)
def test_a_constant_beyond_fp16_keeps_its_node(model, case):
    body, nodes = FIRES[case]
    assert decided(model(SHELL.format(body))) == nodes


@pytest.mark.parametrize("case", STAYS)
def test_a_constant_that_fits_or_never_acts_is_left(model, case):
    assert decided(model(SHELL.format(STAYS[case]))) == {}
