"""Integers as polynomials of free sizes: equal polynomials are equal integers for all sizes.

``s0*s1 + 2*s0`` has two terms. ``(s0 - 1)//2`` is a factor (``Floor``) in a normal form, so that the exporter's
``(s0 + 1)//2 - 1`` and ``(s0 - 1)//2`` are equal.
"""

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Union

Factor = Union[str, "Floor"]
Monomial = tuple[Factor, ...]
"""Factors in the order of their texts; a squared factor is repeated."""


@dataclass(frozen=True)
class Size:
    """A sum of integer multiples of products, in normal form. Equality means equality for all sizes."""

    terms: tuple[tuple[Monomial, int], ...]

    @classmethod
    def of(cls, terms: Mapping[Monomial, int]) -> "Size":
        """The normal form: terms sorted by degree and text, without zeros."""
        kept = [(monomial, count) for monomial, count in terms.items() if count]
        return cls(tuple(sorted(kept, key=lambda term: (-len(term[0]), tuple(map(str, term[0]))))))

    @classmethod
    def number(cls, value: int) -> "Size":
        """A known integer."""
        return cls((((), value),) if value else ())

    @classmethod
    def symbol(cls, factor: Factor) -> "Size":
        """One free size."""
        return cls((((factor,), 1),))

    @property
    def entry(self) -> int | str:
        """The size as an entry of a tensor's shape: a number where it is one, else its text."""
        return str(self) if self.value is None else self.value

    @property
    def value(self) -> int | None:
        """The number; None if it depends on a free size."""
        if not self.terms:
            return 0
        return self.terms[0][1] if self.terms[0][0] == () and len(self.terms) == 1 else None

    def __add__(self, other: "Size") -> "Size":
        terms = dict(self.terms)
        for monomial, count in other.terms:
            terms[monomial] = terms.get(monomial, 0) + count
        return Size.of(terms)

    def __sub__(self, other: "Size") -> "Size":
        return self + other * Size.number(-1)

    def __mul__(self, other: "Size") -> "Size":
        terms: dict[Monomial, int] = {}
        for mine, a in self.terms:
            for theirs, b in other.terms:
                both = tuple(sorted((*mine, *theirs), key=str))
                terms[both] = terms.get(both, 0) + a * b
        return Size.of(terms)

    def over(self, other: "Size") -> "Size | None":
        """The quotient if the division has no remainder for all sizes, else None."""
        if not other.terms:
            return None
        rest, quotient = self, Size.number(0)
        lead, lead_count = other.terms[0]
        while rest.terms:
            monomial, count = rest.terms[0]
            left = _without(monomial, lead)
            if left is None or count % lead_count:
                return None
            part = Size.of({left: count // lead_count})
            quotient, rest = quotient + part, rest - part * other
        return quotient

    def floordiv(self, divisor: int) -> "Size":
        """floor(self / divisor) for divisor > 0: the whole multiples, plus one ``Floor`` of the rest."""
        whole = Size.of({monomial: count // divisor for monomial, count in self.terms})
        rest = Size.of({monomial: count % divisor for monomial, count in self.terms})
        if rest.value is not None:  # below the divisor
            return whole
        return whole + Size.symbol(Floor(rest, divisor))

    def __str__(self) -> str:
        factors = [[str(count)] * (count != 1 or not m) + [*map(str, m)] for m, count in self.terms]
        return " + ".join(map("*".join, factors)) or "0"


@dataclass(frozen=True)
class Floor:
    """floor(size / divisor), with the coefficients of ``size`` in [0, divisor)."""

    size: Size
    divisor: int

    def __str__(self) -> str:
        return f"(({self.size})//{self.divisor})"


ONE = Size.number(1)


def _without(monomial: Monomial, taken: Monomial) -> Monomial | None:
    left = list(monomial)
    for factor in taken:
        if factor not in left:
            return None
        left.remove(factor)
    return tuple(left)


def product(sizes: Iterable[Size]) -> Size:
    """The product of all sizes."""
    return prod(sizes, start=ONE)


@lru_cache(maxsize=4096)
def parse(text: str) -> Size:
    """Read a symbolic dimension as exporters write it; a text that is not such an expression is one free size."""
    try:
        size = _read(ast.parse(text, mode="eval").body)
    except SyntaxError:
        size = None
    return Size.symbol(text) if size is None else size


_OPERATIONS: dict[type[ast.operator], Callable[[Size, Size], Size | None]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a.floordiv(b.value) if b.value is not None and b.value > 0 else None,
    ast.Pow: lambda a, b: product([a] * b.value) if b.value is not None and 0 < b.value < 5 else None,
}


def _read(node: ast.expr) -> Size | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Size.number(node.value)
    if isinstance(node, ast.Name):
        return Size.symbol(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _read(node.operand)
        return None if inner is None else Size.number(0) - inner
    if isinstance(node, ast.Call):
        return _call(node)
    if isinstance(node, ast.BinOp):
        left, right, operation = _read(node.left), _read(node.right), _OPERATIONS.get(type(node.op))
        return None if left is None or right is None or operation is None else operation(left, right)
    return None


def _call(node: ast.Call) -> Size | None:
    """Read the exporter's ``CeilToInt(IntTrueDiv(a, b))`` and similar calls."""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name in ("CeilToInt", "FloorToInt", "TruncToInt") and isinstance(node.args[0], ast.Call):
        inner = node.args[0]
        up = name == "CeilToInt"
        return _quotient(inner.args, up) if getattr(inner.func, "id", "") == "IntTrueDiv" else None
    return _quotient(node.args, False) if name in ("FloorDiv", "CleanDiv") else None


def _quotient(arguments: list[ast.expr], up: bool) -> Size | None:
    above, below = (_read(argument) for argument in arguments)
    if above is None or below is None or below.value is None or below.value < 1:
        return None
    return (above + Size.number(below.value - 1 if up else 0)).floordiv(below.value)
