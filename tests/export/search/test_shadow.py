"""What FP16 cannot hold is found in one run, each node judged alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import ModelProto

from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.search.shadow import Overflow, overflows

X = np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)


def found(model: ModelProto, *fixed: str, x: np.ndarray = X) -> dict[str, Overflow]:
    return {entry.node: entry for entry in overflows(GraphIndex(normalise(model)), fixed, [{"x": x}])}


def test_an_overflow_is_followed_until_values_are_small_again(weighted: Callable[..., ModelProto]) -> None:
    text = """net (float[n, 8] x, float[1] up, float[1] down) => (float[n, 8] y) {
        a = Mul(x, up)
        b = Mul(a, up)
        c = Relu(b)
        d = Mul(c, down)
        y = Tanh(d)
    }"""
    model = weighted(text, up=np.array([500.0]), down=np.array([1e-4]))
    entries = found(model)
    assert set(entries) == {"b", "c", "d"}  # 250,000 overflows; d reads it, and is inf where it should be 25
    assert entries["b"].largest == 250_000.0 and entries["b"].broke
    assert entries["b"].reason == "measured: its values reach 2.5e+05 here, and FP16 ends at 65504"
    assert entries["d"].reason == "measured: its result is infinity or NaN if its inputs are FP16"
    assert set(found(model, "b", "c", "d")) == set(), "what is FP32 anyway is not judged"
    assert set(found(model, x=X / 100)) == set()


def test_a_value_near_the_end_of_the_range_counts_too(weighted: Callable[..., ModelProto]) -> None:
    model = weighted("net (float[n, 8] x, float[1] s) => (float[n, 8] y) { y = Mul(x, s) }", s=np.array([40_000.0]))
    (entry,) = found(model).values()
    assert entry.largest == 40_000.0 and not entry.broke
    assert found(model, x=X / 2) == {}  # 20,000 may double and still fit


def test_a_matrix_product_is_judged_by_what_it_makes(weighted: Callable[..., ModelProto]) -> None:
    model = weighted(
        "net (float[n, 8] x, float[8, 4] w) => (float[n, 4] y) { y = MatMul(x, w) }", w=np.full((8, 4), 3e4)
    )
    assert found(model)["y"].broke


def test_a_denominator_that_vanishes(weighted: Callable[..., ModelProto]) -> None:
    """1e-4 has a square of 0 in FP16, and what is divided by it is infinite where FP32 has 10,000."""
    text = """net (float[n, 8] x) => (float[n, 8] y) {
        a = Mul(x, x)
        y = Div(x, a)
    }"""
    small = np.full((2, 8), 1e-4, np.float32)
    assert found(weighted(text), x=small)["y"].broke
    assert found(weighted(text), x=np.ones((2, 8), np.float32)) == {}


def test_infinities_of_the_model_itself_are_no_overflow(weighted: Callable[..., ModelProto]) -> None:
    model = weighted("net (float[n, 8] x) => (float[n, 8] y) { l = Log(x)  y = Exp(l) }")
    assert found(model, x=np.array([[0.0] * 4 + [1.0] * 4], np.float32)) == {}  # log 0 = -inf in FP32 too


def test_what_a_partial_mask_hides_is_no_overflow(weighted: Callable[..., ModelProto]) -> None:
    """-1e9 saturates when it is cast, and any large negative number hides as well."""
    text = """net (float[n, 8] x, float[1] s, float[2, 8] m) => (float[n, 8] y) {
        a = Add(x, m)
        b = Mul(a, s)
        y = Softmax(b)
    }"""
    mask = np.where(np.arange(16).reshape(2, 8) % 8 > 5, -1e9, 0.0)
    assert found(weighted(text, s=np.array([1.0]), m=mask)) == {}
    assert found(weighted(text, s=np.array([-1.0]), m=mask))["b"].largest == 1e9, "it does not hide what it turns round"
    full = np.full((2, 8), -1e9)
    assert set(found(weighted(text, s=np.array([1.0]), m=full))) == {"a", "b", "y"}, "a row that is hidden in full"
    near = np.array([[0.0] * 5 + [1.0] * 3] * 2, np.float32)
    assert found(weighted(text, s=np.array([40_000.0]), m=mask), x=near)["b"].largest == 40_000.0, "what is not hidden"
