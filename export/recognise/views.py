"""Views of values that are computed from windows, besides ``Windowed``: products not yet summed, and scores."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .layout import Atom, Dims, flat, refinement, substituted
from .windows import Term, Windowed

DIFFERENCE = "difference"
"""A query minus windows, before its square or absolute value."""


@dataclass(frozen=True)
class Product:
    """``compose`` of a windowed value and another tensor, some of their atoms ``summed``; ``factor`` times that.

    ``other_dims`` gives each dimension of ``other`` in the atoms of the windows, and foreign ones.
    """

    windowed: Windowed
    other: Any
    other_dims: Dims
    dims: Dims
    summed: frozenset[Atom]
    nodes: tuple[str, ...]
    compose: str = "product"
    factor: float = 1.0
    wide: Any = None
    """The widest float type of the casts on the way."""


@dataclass(frozen=True)
class Scores:
    """``factor`` times a correlation plus ``bias`` terms, and after ``soft`` the softmax of that over the window.

    ``tensors`` are the values from the correlation on: where one of them is used elsewhere, it has to be kept.
    """

    product: Product
    channels: frozenset[Atom]
    dims: Dims
    factor: float
    nodes: tuple[str, ...]
    tensors: tuple[Any, ...]
    bias: tuple[Term, ...] = ()
    soft: bool = False
    wide: Any = None


View = Windowed | Product | Scores


def refined(product: Product, later: Iterable[Atom] = ()) -> Product:
    """The product in the pieces into which its views, or ``later`` views, have split its axes."""
    fine = {*flat(product.dims), *product.summed, *later}
    windowed = product.windowed
    terms = [atom for term in windowed.relative for atom in flat(term.dims)]
    by = refinement(
        {*flat(windowed.dims), *flat(product.other_dims), *flat(product.dims), *product.summed, *terms}, fine
    )
    if not by:
        return product
    relative = tuple(replace(term, dims=substituted(term.dims, by)) for term in windowed.relative)
    return replace(
        product,
        windowed=replace(windowed, dims=substituted(windowed.dims, by), relative=relative),
        other_dims=substituted(product.other_dims, by),
        dims=substituted(product.dims, by),
        summed=frozenset(flat(substituted((tuple(product.summed),), by))),
    )
