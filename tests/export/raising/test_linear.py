"""Integers in free sizes: arithmetic agrees with that of their values, and equality means equality for all sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnexport.export.raising.linear import Linear, parse, product

linears = st.builds(Linear.of, st.integers(-9, 9), st.dictionaries(st.sampled_from("HWN"), st.integers(-4, 4)))
SIZES = {"H": 17, "W": 1009, "N": 100003}


def value(linear: Linear) -> int:
    return linear.constant + sum(SIZES[s] * f for s, f in linear.factors)


@given(linears, linears, st.integers(-5, 5))
def test_arithmetic_is_that_of_the_values(a: Linear, b: Linear, k: int) -> None:
    assert value(a + b) == value(a) + value(b)
    assert value(a - b) == value(a) - value(b)
    assert value(a.times(k)) == value(a) * k
    assert (a == b) == (value(a) == value(b))
    both = product(a, b)
    assert (both is None) == (not a.known and not b.known)
    if both is not None:
        assert value(both) == value(a) * value(b)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s53 - 2", Linear.of(-2, {"s53": 1})),
        ("2*H + 3*(W - 1) - H", Linear.of(-3, {"H": 1, "W": 3})),
        ("-N", Linear.of(0, {"N": -1})),
        ("batch", Linear.symbol("batch")),
        ("12", Linear(12)),
        ("x:0", Linear.symbol("x:0")),
        ("H*W", None),
        ("H//2", None),
        ("max(H, 2)", None),
    ],
)
def test_symbolic_dimensions_are_read_where_they_are_linear(text: str, expected: Linear | None) -> None:
    assert parse(text) == expected
