"""Sampling positions stay FP32 back to the layer that makes them; features do not."""

from __future__ import annotations

import pytest

from attnexport.export.precision import decide


def decided(model) -> dict[str, str]:
    """Node to reason, of this rule alone."""
    return {d.node: d.reason for d in decide(model) if d.rule == "coordinates"}


SHELL = """g (float[1, 2, 8, 8] x, float[1, 32] f, float[64, 3] base, float[1, 2, 8, 8] flow) => (float[?, ?, ?, ?] y)
  <float[32, 6] w = {{{w}}}, float[6] b = {{1, 0, 0, 0, 1, 0}}, int64[3] t3 = {{1, 2, 3}}, int64[4] g4 = {{1, 8, 8, 2}},
   float[2, 2, 1, 1] k = {{1, 2, 3, 4}}, float half = {{0.5}}, float[2, 1] zeros = {{0, 0}}, float[2, 1] ones = {{1, 1}},
   int64[1] flat = {{-1}}, int64[4] v4 = {{1, 2, 8, 8}}, int64[1] c1 = {{1}},
   float[4] scales = {{1, 1, 2, 2}}> {{ {body} }}"""
GRID = "it makes the positions at which 'y' samples: in FP16 they would move by up to 1/16 pixel of 256"
SAMPLER = "it samples an image at computed positions, and image and grid need one type"
INDEX = "it makes an index or a size ('i'): FP16 counts exactly only up to 2048"
MARK = "it marks positions that are not finite, and in FP16 one beyond 65504 would not be"
MARKED = "it puts the mark of positions that are not finite on what was sampled, which is FP32 and need not be rounded"
MOVED = "it moves positions at which an image is sampled: FP16 would round them to 1/16 pixel of 256"
WEIGHT = "it works on sampling positions alone (interpolation weights come from small differences of large numbers)"


def build(model, body: str):
    return model(SHELL.format(body=body, w=", ".join("0.1" for _ in range(192))))


FIRES = {
    "spatial transformer": (
        "a = Relu(f)  p = Gemm(a, w, b)  q = Reshape(p, t3)  r = Transpose<perm = [0, 2, 1]>(q)  m = MatMul(base, r)"
        "  n = Reshape(m, g4)  y = GridSample(x, n)",
        {"p": GRID, "m": GRID, "y": SAMPLER},
    ),
    "head of MatMul and Add": (
        "p = MatMul(f, w)  s = Add(p, b)  t = Tanh(s)  q = Reshape(t, t3)  r = Transpose<perm = [0, 2, 1]>(q)"
        "  m = MatMul(base, r)  n = Reshape(m, g4)  y = GridSample(x, n)",
        {"p": GRID, "s": GRID, "t": GRID, "m": GRID, "y": SAMPLER},
    ),
    "a predicted flow": (
        "e = Relu(flow)  c = Conv(e, k)  h = Mul(c, half)  t = Transpose<perm = [0, 2, 3, 1]>(h)  y = GridSample(x, t)",
        {"c": GRID, "h": GRID, "y": SAMPLER},
    ),
    "the last step of a recurrence that moves its positions": (
        "d = Conv(flow, k)  p = Add(flow, d)  t = Transpose<perm = [0, 2, 3, 1]>(p)  s = GridSample(x, t)  e = Conv(s, k)"
        "  q = Add(p, e)  o = Sub(q, p)  y = Mul(o, half)",
        {
            "d": GRID.replace("'y'", "'s'"),
            "p": GRID.replace("'y'", "'s'"),
            "s": SAMPLER,
            "q": MOVED,
            "o": MOVED,
            "y": WEIGHT,
        },
    ),
    "a mark of positions that are not finite": (
        "t = Transpose<perm = [0, 2, 3, 1]>(flow)  z = MatMul(t, zeros)  m = Transpose<perm = [0, 3, 1, 2]>(z)"
        "  s = GridSample(x, t)  y = Add(s, m)",
        {"z": MARK, "s": SAMPLER, "y": MARKED},
    ),
    "positions that become an index": (
        "c = Conv(flow, k)  u = Mul(c, half)  d = Floor(u)  i = Cast<to = 7>(d)  j = Add(i, c1)  r = Reshape(j, flat)"
        "  z = Sub(u, d)  o = Sub(half, z)  l = Reshape(x, flat)  v = Gather(l, r)  e = Reshape(v, v4)  y = Mul(e, o)",
        {"c": INDEX, "u": INDEX, "d": INDEX, "z": WEIGHT, "o": WEIGHT},
    ),
}
STAYS = {
    "what the image is made of": ("a = Conv(x, k)  y = GridSample(a, grid)", "a"),
    "a float that becomes plain numbers": (
        "a = Conv(x, k)  r = Round(a)  i = Cast<to = 7>(r)  y = Cast<to = 1>(i)",
        "r",
    ),
    "another product of positions": (
        "t = Transpose<perm = [0, 2, 3, 1]>(flow)  z = MatMul(t, ones)  m = Transpose<perm = [0, 3, 1, 2]>(z)"
        "  s = GridSample(x, t)  y = Add(s, m)",
        "z",
    ),
    "a network without positions": ("a = Conv(x, k)  d = Floor(a)  y = Sub(a, d)", "d"),
}


@pytest.mark.parametrize("case", FIRES)
def test_the_chain_behind_positions_stays_fp32(model, case):
    body, nodes = FIRES[case]
    assert decided(build(model, body)) == nodes


@pytest.mark.parametrize("case", STAYS)
def test_features_are_left(model, case):
    body, node = STAYS[case]
    source = SHELL.replace("float[1, 32] f", "float[1, 8, 8, 2] grid, float[1, 32] f")
    found = decided(model(source.format(body=body, w=", ".join("0.1" for _ in range(192)))))
    assert node not in found and set(found) <= {"y", "s"}


def test_a_size_computed_in_floats_stays_fp32(model):
    body = (
        "s = Shape<start = 2>(x)  a = Cast<to = 1>(s)  m = Mul(a, half)  d = Floor(m)  i = Cast<to = 7>(d)"
        "  h = Shape<end = 2>(x)  z = Concat<axis = 0>(h, i)  y = Resize(x, , , z)"
    )
    assert decided(build(model, body)) == {"a": INDEX, "m": INDEX, "d": INDEX}
