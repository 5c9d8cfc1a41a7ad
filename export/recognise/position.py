"""Position terms: a term added to the scores that is the query times a constant belongs to the keys.

    sum over d of q[d, p] * k[d, t, p]  +  sum over d of q[d, p] * r[d, t]  ->  sum over d of q[d, p] * (k[d, t, p] + r[d, t])

Exact: the sum over channels is distributive. Verified by axes, from the last tensor that the query and the term share: the
operators from it to the query name its axes after those of the windows, and the operators from it to the term then name
the axes of the constant and of the term. The term must lie on the scores as the query does, with axes of only the constant
along places or heads. A term that is not verified stays a bias.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import frexp
from typing import Any

import numpy as np

from ..graph.shapes import producer, scalar, sizes_of
from ..graph.size import Size
from .carry import CARRIERS, axes_of, carried
from .context import Recognition
from .contract import UnknownAxes, contracted
from .layout import PLACE, POSITION, Atom, Dim, Dims, flat, refinement, substituted, unified, whole
from .settle import settled
from .views import Scores
from .windows import Term

QUERY = "query"
"""An axis of the tensor that query and position term share."""
_LAYOUT = set(CARRIERS) - {"Expand", "Tile"}
_PRODUCTS = ("Mul", "MatMul", "Einsum")
_LONGEST = 32
"""The most operators between a tensor and the one that the query and the term share."""


@dataclass(frozen=True)
class _Way:
    """One step on the way from the common tensor: ``factor`` times it, summed over ``summed`` after a product with ``constant``."""

    dims: Dims
    factor: float = 1.0
    constant: Any = None
    constant_dims: Dims = ()
    summed: frozenset[Atom] = frozenset()


def positioned(context: Recognition, node: Any, scores: Scores) -> Scores:
    """Move every bias that is the query times a constant to the keys, as a relative term.

    Return ``scores`` unchanged if there is none. New constants are named after ``node``.
    """
    at = 0
    while scores.product.compose == "product" and at < len(scores.bias):
        moved = _moved(context, node, scores, at)
        at += moved is None
        scores = moved or scores
    return scores


def _moved(context: Recognition, node: Any, scores: Scores, at: int) -> Scores | None:
    """The scores with one bias moved to the keys; None if it is not verified."""
    term = scores.bias[at]
    above = _line(scores.product.other, _LAYOUT)
    names = [tensor.name for tensor, _ in above]
    below = _line(term.tensor, {*_LAYOUT, *_PRODUCTS, "ReduceSum"}, names)
    if not below:
        return None
    common, _ = below[-1]
    started = _started(common, above[: names.index(common.name) + 1], scores)
    if started is None:
        return None
    query, by = started
    way = _followed(_Way(query.dims), below)
    if way is None or way.constant is None:
        return None
    ratio = _ratio(term.factor * way.factor, scores.factor * query.factor)
    met = _met(_substituted(scores, by), at, query.dims, way)
    if ratio is None or met is None:
        return None
    scores, dims = met
    relative = _laid_out(context, node, scores, way.constant, dims, ratio)
    if relative is None:
        return None
    windowed = scores.product.windowed
    return replace(
        scores,
        bias=(*scores.bias[:at], *scores.bias[at + 1 :]),
        product=replace(scores.product, windowed=replace(windowed, relative=(*windowed.relative, relative))),
        nodes=(*scores.nodes, *(step.name for _, step in below if step is not None)),
    )


def _met(scores: Scores, at: int, query: Dims, way: _Way) -> tuple[Scores, Dims] | None:
    """Lay the term on the scores: the scores in the pieces of both, and the constant's dimensions in their atoms.

    None if the query's axes in the term differ from those in the scores, if the sum is not over the channels of the
    correlation, or if the constant varies over positions.
    """
    everything = {*_atoms(scores), *flat(way.dims), *flat(way.constant_dims), *way.summed}
    fine = refinement(everything, everything)
    scores = _substituted(scores, fine)
    met = unified(substituted(way.dims, fine), scores.bias[at].dims)
    if met is None:
        return None
    ours, theirs, same = met
    known = set(flat(substituted(substituted(query, fine), ours)))
    if any((atom in known or other in known) and atom != other for atom, other in same.items()):
        return None
    constant = _named(substituted(way.constant_dims, fine), ours, same)
    scores = _substituted(scores, theirs)
    summed = set(flat(substituted((tuple(way.summed),), fine)))
    if summed != scores.channels or any(atom.role == POSITION for atom in flat(constant)):
        return None
    return scores, constant


def _line(tensor: Any, through: set[str], until: Sequence[str] | None = None) -> list[tuple[Any, Any]]:
    """A tensor and its ancestors, each with the operator that computes the entry before it (None for the tensor).

    The line passes the operators ``through`` and products with one number, along their only input that is not constant. It
    ends at the first tensor of ``until``, and is empty if there is none.
    """
    line: list[tuple[Any, Any]] = [(tensor, None)]
    while len(line) <= _LONGEST:
        if until is not None and tensor.name in until:
            return line
        node = producer(tensor)
        at = None if node is None or node.domain not in (None, "", "ai.onnx") else _variable(node, through)
        if at is None:
            break
        tensor = node.inputs[at]
        line.append((tensor, node))
    return line if until is None else []


def _variable(node: Any, through: set[str]) -> int | None:
    """The input of ``node`` along which a line goes on."""
    if node.op in ("Mul", "Div", "Neg") or (node.op in _PRODUCTS and node.op in through):
        known = [settled(value) is not None for value in node.inputs]
        at = known.index(False) if known.count(False) == 1 and len(known) < 3 else None
        return at if node.op in through or (at is not None and _number(node, at) is not None) else None
    return 0 if node.op in through else None


def _number(node: Any, at: int) -> float | None:
    """The number by which ``node`` multiplies its input ``at``; None if there is none."""
    if node.op == "Neg":
        return -1.0
    number = scalar(node.inputs[1 - at]) if node.op in ("Mul", "Div") else None
    if number is None or node.op == "Mul":
        return number
    return 1.0 / number if at == 0 and number else None


def _started(common: Any, above: Sequence[tuple[Any, Any]], scores: Scores) -> tuple[_Way, dict[Atom, Dim]] | None:
    """``common`` in the atoms of the windows, with its factor in the query, and the split of the scores' atoms for that."""
    sizes = sizes_of(common)
    if sizes is None:
        return None
    dims = tuple(whole(QUERY, axis, size) for axis, size in enumerate(sizes))
    way = _followed(_Way(dims), above)
    met = None if way is None else unified(way.dims, scores.product.other_dims)
    if way is None or met is None:
        return None
    ours, theirs, same = met
    dims = substituted(dims, refinement(flat(dims), flat(way.dims)))
    return _Way(_named(dims, ours, same), way.factor), theirs


def _followed(way: _Way, line: Sequence[tuple[Any, Any]]) -> _Way | None:
    """Follow the line from its last tensor to its first."""
    found: _Way | None = way
    for tensor, node in reversed(line):
        if node is None or found is None:
            break
        found = _step(found, node, [value is tensor for value in node.inputs].index(True))
    return found


def _step(way: _Way, node: Any, at: int) -> _Way | None:
    if node.op in _LAYOUT:
        dims = carried(node, way.dims)
        return None if dims is None else replace(way, dims=dims)
    number = _number(node, at)
    if number is not None:
        return replace(way, factor=way.factor * number)
    if node.op == "ReduceSum":
        return _reduced(way, node)
    if way.constant is not None or len(node.inputs) != 2:
        return None
    values = settled(node.inputs[1 - at])
    if values is None or values.dtype.kind != "f":
        return None
    try:
        made = contracted(node, way.dims, [Size.number(size) for size in values.shape], at)
    except UnknownAxes:
        return None
    return replace(way, dims=made.out, constant=values, constant_dims=made.other, summed=way.summed | made.summed)


def _reduced(way: _Way, node: Any) -> _Way | None:
    axes = axes_of(node, len(way.dims))
    if axes is None:
        return None
    gone = {atom for axis in axes for atom in way.dims[axis]}
    keep = node.attrs.get("keepdims", 1)
    dims = tuple(() if axis in axes else dim for axis, dim in enumerate(way.dims) if keep or axis not in axes)
    return replace(way, dims=dims, summed=way.summed | gone)


def _ratio(term: float, scores: float) -> float | None:
    """The factor of the constant beside that of the scores; None if it would round."""
    ratio = term / scores if scores else 0.0
    return ratio if abs(frexp(ratio)[0]) == 0.5 and ratio * scores == term else None


def _named(dims: Dims, split: dict[Atom, Dim], same: dict[Atom, Atom]) -> Dims:
    return tuple(tuple(same.get(atom, atom) for atom in dim) for dim in substituted(dims, split))


def _atoms(scores: Scores) -> set[Atom]:
    product = scores.product
    terms = (*scores.bias, *product.windowed.relative)
    dims = (scores.dims, product.dims, product.other_dims, product.windowed.dims, *(term.dims for term in terms))
    return {*scores.channels, *product.summed, *(atom for entry in dims for atom in flat(entry))}


def _substituted(scores: Scores, by: dict[Atom, Dim]) -> Scores:
    """The scores with atoms replaced by their pieces everywhere."""

    def terms(entries: tuple[Term, ...]) -> tuple[Term, ...]:
        return tuple(replace(term, dims=substituted(term.dims, by)) for term in entries)

    def atoms(entries: frozenset[Atom]) -> frozenset[Atom]:
        return frozenset(flat(substituted((tuple(entries),), by)))

    product = scores.product
    windowed = product.windowed
    windowed = replace(windowed, dims=substituted(windowed.dims, by), relative=terms(windowed.relative))
    product = replace(
        product,
        windowed=windowed,
        other_dims=substituted(product.other_dims, by),
        dims=substituted(product.dims, by),
        summed=atoms(product.summed),
    )
    return replace(
        scores,
        product=product,
        channels=atoms(scores.channels),
        dims=substituted(scores.dims, by),
        bias=terms(scores.bias),
    )


def _laid_out(
    context: Recognition, node: Any, scores: Scores, values: np.ndarray, dims: Dims, ratio: float
) -> Term | None:
    """``ratio`` times a constant with one axis per atom, repeated along the channels and places that it does not have."""
    mine = flat(dims)
    wanted = [atom for atom in flat(scores.product.windowed.dims) if atom.role == PLACE or atom in scores.channels]
    order = (*mine, *(atom for atom in wanted if atom not in mine))
    lengths = [atom.length.value for atom in order]
    if len(set(mine)) != len(mine) or any(size is None for size in lengths):
        return None
    known = [size for size in lengths if size is not None]
    scaled = values * values.dtype.type(ratio)
    if not np.array_equal(scaled / values.dtype.type(ratio), values):
        return None
    apart = scaled.reshape([*known[: len(mine)], *[1] * (len(known) - len(mine))])
    constant = context.arrange(node).emit.constant(np.broadcast_to(apart, known), values.dtype, "relative")
    return Term(constant, tuple((atom,) for atom in order))
