"""Integers that are known up to the sizes of free axes: a constant plus whole multiples of symbols, ``2*H + W - 3``."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Linear:
    """``constant + sum(factor * symbol)``. Two are equal for all sizes exactly when they are equal objects."""

    constant: int = 0
    factors: tuple[tuple[str, int], ...] = field(default=())

    @classmethod
    def of(cls, constant: int, factors: Mapping[str, int]) -> Linear:
        """In normal form: symbols sorted, zero factors left out."""
        return cls(constant, tuple(sorted((s, f) for s, f in factors.items() if f)))

    @classmethod
    def symbol(cls, name: str) -> Linear:
        """One free size."""
        return cls(0, ((name, 1),))

    @property
    def known(self) -> bool:
        """Whether it is a plain number."""
        return not self.factors

    def __add__(self, other: Linear) -> Linear:
        factors = dict(self.factors)
        for symbol, factor in other.factors:
            factors[symbol] = factors.get(symbol, 0) + factor
        return Linear.of(self.constant + other.constant, factors)

    def times(self, factor: int) -> Linear:
        """A whole multiple."""
        return Linear.of(self.constant * factor, {s: f * factor for s, f in self.factors})

    def __sub__(self, other: Linear) -> Linear:
        return self + other.times(-1)


def product(a: Linear, b: Linear) -> Linear | None:
    """The product where it is linear again: one of the two is a number."""
    if a.known:
        return b.times(a.constant)
    return a.times(b.constant) if b.known else None


def parse(text: str) -> Linear | None:
    """Read a symbolic dimension as exporters write it (``s53 - 2``); None for anything that is not linear."""
    try:
        return _read(ast.parse(text, mode="eval").body)
    except SyntaxError:
        # A name that is no Python expression (``x:0``) is still one size.
        return Linear.symbol(text) if text.strip() else None


def _read(node: ast.expr) -> Linear | None:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return Linear(node.value)
    if isinstance(node, ast.Name):
        return Linear.symbol(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _read(node.operand)
        return None if inner is None else inner.times(-1)
    if isinstance(node, ast.BinOp):
        left, right = _read(node.left), _read(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return product(left, right)
    return None
