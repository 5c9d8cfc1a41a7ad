"""Lengths of axes: equal for all sizes exactly where the polynomials are."""

from __future__ import annotations

import pytest

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
