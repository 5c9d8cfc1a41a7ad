"""A tensor times its own transpose stays FP32 with its scores; other products do not."""

from __future__ import annotations

import numpy as np
import pytest

from attnexport.export.precision import convert, decide, to_half_model

SHELL = """g (float[2, 4, {k}] x, float[2, 4, {k}] z) => (float[?, ?, ?] y)
  <float s = {{0.5}}, int64[1] last = {{-1}}> {{ {body} }}"""
DANET = "t = Transpose<perm = [0, 2, 1]>(x)  e = MatMul(x, t)  m = ReduceMax(e, last)  d = Sub(m, e)  p = Softmax(d)  y = MatMul(p, x)"
FIRES = {
    "channel attention": ("1024", DANET, "emdp", "1024 terms"),
    "an unknown number": ("n", DANET, "emdp", "a number of terms that is not known"),
    "scaled first": (
        "512", "q = Mul(x, s)  t = Transpose<perm = [0, 2, 1]>(x)  e = MatMul(q, t)  y = Softmax(e)", "ey", "512 terms",
    ),
    "Einsum": ("512", 'y = Einsum<equation = "bik,bjk->bij">(x, x)', "y", "512 terms"),
}  # fmt: skip
STAYS = {
    "few terms": ("256", "t = Transpose<perm = [0, 2, 1]>(x)  y = MatMul(x, t)"),
    "two tensors": ("1024", "t = Transpose<perm = [0, 2, 1]>(z)  y = MatMul(x, t)"),
    "after two layers": ("1024", "a = Relu(x)  b = Neg(x)  t = Transpose<perm = [0, 2, 1]>(b)  y = MatMul(a, t)"),
}


@pytest.mark.parametrize("case", FIRES)
def test_a_gram_matrix_is_a_hazard(model, case):
    k, body, nodes, over = FIRES[case]
    found = {d.node: d for d in decide(model(SHELL.format(k=k, body=body)), only="hazard") if d.rule == "gram"}
    assert set(found) == set(nodes)
    first = next(iter(found.values()))
    assert first.reason == f"a tensor times its own transpose over {over}: a sum of squares leaves FP16's range"
    reasons = {found[name].reason for name in nodes if name != first.node}
    assert reasons <= {f"it works on the products of {first.node!r}, which leave FP16's range"}


@pytest.mark.parametrize("case", STAYS)
def test_another_product_is_left(model, case):
    k, body = STAYS[case]
    assert decide(model(SHELL.format(k=k, body=body)), only="hazard") == []


def test_bf16_has_the_range(model):
    assert [d.rule for d in decide(model(SHELL.format(k="1024", body=DANET)), precision="bf16")] == ["softmax"]


def test_large_activations_stay_finite(model, emulated):
    source = model(SHELL.format(k="1024", body=DANET))
    x = np.random.default_rng(0).normal(size=(2, 4, 1024)).astype(np.float32) * 16
    typed = convert(source).model
    feeds = {"x": x, "z": x}
    assert np.isfinite(emulated(typed, **feeds)[0]).all()
    assert not np.isfinite(emulated(to_half_model(source, []), **feeds)[0]).all()
