"""Products of a windowed value with another tensor, brought to one form: Mul, Sub, MatMul and Einsum differ only in spelling.

The other tensor's dimensions are named by the atoms of the windows that they meet; what the windows do not have is
foreign. If two dimensions are not known to have one length, there is no product, and UnknownAxes gives the reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..graph.size import ONE, Size
from .layout import FOREIGN, Atom, Dim, Dims, flat, fresh, length


@dataclass(frozen=True)
class Contraction:
    """The other tensor's dimensions, the output's, and the atoms that are summed."""

    other: Dims
    out: Dims
    summed: frozenset[Atom] = frozenset()


class UnknownAxes(Exception):
    """The dimensions of a product are not known; the message gives the reason."""


def _meet(mine: Dim, size: Size) -> tuple[Dim, Dim]:
    """A dimension of the windows that meets one of ``size``: (the other's dimension, the result's)."""
    if size == ONE:
        return (), mine
    if not mine:
        foreign = fresh(FOREIGN, size)
        return foreign, foreign
    if length(mine) == size:
        return mine, mine
    raise UnknownAxes(f"an axis of {length(mine)} meets one of {size}")


def elementwise(dims: Dims, sizes: Sequence[Size]) -> Contraction:
    """A product aligned from the last axis, as in Mul. Raises UnknownAxes."""
    rank = max(len(dims), len(sizes))
    mine = ((),) * (rank - len(dims)) + dims
    theirs = [ONE] * (rank - len(sizes)) + list(sizes)
    met = [_meet(dim, size) for dim, size in zip(mine, theirs, strict=True)]
    return Contraction(tuple(other for other, _ in met)[rank - len(sizes) :], tuple(out for _, out in met))


def matmul(dims: Dims, sizes: Sequence[Size], windows_first: bool) -> Contraction:
    """A batch of matrix products; the windows are the left or the right factor. Raises UnknownAxes."""
    if len(dims) < 2 or len(sizes) < 2:
        raise UnknownAxes("a factor of the MatMul is a vector")
    batch = elementwise(dims[:-2], sizes[:-2])
    if windows_first:
        inner, kept = dims[-1], dims[-2]
        foreign = fresh(FOREIGN, sizes[-1])
        return Contraction((*batch.other, inner, foreign), (*batch.out, kept, foreign), frozenset(inner))
    inner, kept = dims[-2], dims[-1]
    foreign = fresh(FOREIGN, sizes[-2])
    return Contraction((*batch.other, foreign, inner), (*batch.out, foreign, kept), frozenset(inner))


def einsum(equation: str, dims: Dims, sizes: Sequence[Size], windows_first: bool) -> Contraction:
    """A two-factor Einsum. Raises UnknownAxes."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    factors = left.split(",")
    if len(factors) != 2 or not arrow:
        raise UnknownAxes(f"Einsum {equation!r} does not have two factors and a result")
    mine, theirs = factors if windows_first else reversed(factors)
    if "." in equation:
        mine, theirs, result = _spelled_out(mine, len(dims), theirs, len(sizes), result)
    if any(len(set(text)) != len(text) for text in (mine, theirs)) or (len(mine), len(theirs)) != (
        len(dims),
        len(sizes),
    ):
        raise UnknownAxes(f"Einsum {equation!r} takes a diagonal, or its factors have other axes")
    labels: dict[str, Dim] = dict(zip(mine, dims, strict=True))
    other = []
    for label, size in zip(theirs, sizes, strict=True):
        dim, out = _meet(labels.get(label, ()), size)
        other.append(dim)
        labels[label] = out
    summed = flat(dim for label, dim in labels.items() if label not in result)
    return Contraction(tuple(other), tuple(labels[label] for label in result), frozenset(summed))


def contracted(node: Any, dims: Dims, sizes: Sequence[Size], at: int) -> Contraction:
    """The product of ``node``'s input ``at``, which has ``dims``, and its other input. Raises UnknownAxes."""
    if node.op == "MatMul":
        return matmul(dims, sizes, at == 0)
    if node.op == "Einsum":
        equation = node.attrs["equation"]
        return einsum(equation if isinstance(equation, str) else equation.decode(), dims, sizes, at == 0)
    return elementwise(dims, sizes)


def _spelled_out(mine: str, rank: int, theirs: str, other_rank: int, result: str) -> tuple[str, str, str]:
    """Replace ellipses by capital letters, aligned from the last."""
    letters = [chr(code) for code in range(ord("A"), ord("Z") + 1) if chr(code) not in mine + theirs]
    counts = [size - len(text.replace("...", "")) for text, size in ((mine, rank), (theirs, other_rank))]
    most = max(count for count, text in zip(counts, (mine, theirs), strict=True) if "..." in text)
    names = "".join(letters[:most])
    return (
        mine.replace("...", names[most - counts[0] :]),
        theirs.replace("...", names[most - counts[1] :]),
        result.replace("...", names),
    )
