"""Lengths of axes: equal for all sizes exactly where the polynomials are."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnexport.export.graph.size import ONE, Size, parse, product


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s0*s1", "s1*s0"),
        ("2*batch + 0", "batch + batch"),
        ("(s0 + 1)*(s0 - 1) + 1", "s0**2"),
        ("(((s0 - 1)//2)) + 1", "(s0 + 1)//2"),
        ("(2*s0 + 5)//2", "s0 + 2"),
        ("CeilToInt(IntTrueDiv(s1, 1))", "s1"),
        ("CeilToInt(IntTrueDiv(s1, 2))", "(s1 + 1)//2"),
        ("FloorToInt(IntTrueDiv(s1, 2))", "s1//2"),
    ],
)
def test_one_length_in_two_spellings(one, other) -> None:
    assert parse(one) == parse(other)


@pytest.mark.parametrize(("one", "other"), [("s0", "s1"), ("s0//2", "(s0 + 1)//2"), ("s0*s0", "s0"), ("x:0", "x:1")])
def test_other_lengths(one, other) -> None:
    assert parse(one) != parse(other)


@pytest.mark.parametrize(
    ("whole", "part", "quotient"),
    [
        ("6", "2", "3"),
        ("s0*s1", "s0", "s1"),
        ("4*b*s0", "2*b", "2*s0"),
        ("s0*s1 + 2*s0 + s1 + 2", "s0 + 1", "s1 + 2"),
        ("(s0//2 + 1)*(s1//2 + 1)", "s1//2 + 1", "s0//2 + 1"),
    ],
)
def test_division_without_remainder(whole, part, quotient) -> None:
    assert parse(whole).over(parse(part)) == parse(quotient)


@pytest.mark.parametrize(("whole", "part"), [("7", "2"), ("s0", "s1"), ("s0 + 1", "s0"), ("s0", "2"), ("s0", "0")])
def test_division_with_a_remainder_for_some_size(whole, part) -> None:
    assert parse(whole).over(parse(part)) is None


def test_numbers() -> None:
    assert (parse("7").value, parse("s0 - s0").value, parse("s0").value) == (7, 0, None)
    assert product([]) == ONE == Size.number(1)
    assert str(parse("2*b*s0 + 3")) == "2*b*s0 + 3"


TERMS = st.dictionaries(st.sampled_from([(), ("H",), ("W",), ("N",), ("H", "W")]), st.integers(-9, 9))
VALUES = {"H": 17, "W": 1009, "N": 100003}


def value(size: Size) -> int:
    return sum(count * prod(VALUES[str(factor)] for factor in factors) for factors, count in size.terms)


@given(st.builds(Size.of, TERMS), st.builds(Size.of, TERMS))
def test_arithmetic_agrees_with_that_of_the_values(a: Size, b: Size) -> None:
    assert value(a + b) == value(a) + value(b)
    assert value(a - b) == value(a) - value(b)
    assert value(a * b) == value(a) * value(b)
    assert (a == b) == (value(a) == value(b))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2*H + 3*(W - 1) - H", Size.of({(): -3, ("H",): 1, ("W",): 3})),
        ("-N", Size.of({("N",): -1})),
        ("x:0", Size.symbol("x:0")),
        ("max(H, 2)", Size.symbol("max(H, 2)")),
    ],
)
def test_a_symbolic_dimension_is_read(text: str, expected: Size) -> None:
    assert parse(text) == expected
