"""Attention: a correlation, scaled and biased, its softmax over the window, and the aggregation of values by it.

    aggregate(softmax over t of (scale * correlate(query, key) + bias), value)  ->  LocalAttention

Exact: scores and weights meet in one tensor, so its axes are described twice, by the atoms of the keys' windows and by
those of the values'. The two descriptions are unified piece by piece; if each place, position and head of one is the same
in the other, the three operators become one. Refused: scores or weights that are used elsewhere (an attention map that is
returned), windows of keys and values that differ in more than padding.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph.shapes import widest
from .canonical import Canonical, WindowedParts, batch_axis, described, divide, equalised, parts, sharing, space_after
from .context import LocalOperator, Recognition
from .layout import (
    FOREIGN,
    OUTER,
    PLACE,
    POSITION,
    REPEATED,
    Atom,
    Dim,
    Dims,
    flat,
    length,
    refinement,
    substituted,
    unified,
)
from .views import Product, Scores, refined
from .windows import Slide, Term, Window


@dataclass(frozen=True)
class _Names:
    """The keys' atoms under the names of the values' atoms."""

    split: dict[Atom, Dim]
    same: dict[Atom, Atom]

    def __call__(self, dims: Dims) -> Dims:
        return tuple(tuple(self.same.get(atom, atom) for atom in dim) for dim in substituted(dims, self.split))

    def terms(self, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        return tuple(Term(term.tensor, self(term.dims), term.factor) for term in terms)


@dataclass(frozen=True)
class _Alignment:
    """The keys' and the values' windows in the same atoms.

    ``keys`` and ``values`` are the parts of both, ``names`` maps atoms of the keys to atoms of the values, ``of_values`` splits
    the values' atoms. ``shared`` are the atoms that weights and values have in common, ``channels`` those of the values alone.
    """

    slides: tuple[Slide, ...]
    keys: WindowedParts
    values: WindowedParts
    names: _Names
    of_values: dict[Atom, Dim]
    shared: list[Atom]
    channels: tuple[Atom, ...]


def _aligned(product: Product, scores: Scores) -> _Alignment | str:
    """Bring the axes of scores and weights together; return the reason if they differ."""
    keys, values = scores.product.windowed, product.windowed
    slides = equalised(keys.window, values.window)
    if slides is None:
        return "keys and values have different windows"
    key_parts, value_parts = parts(keys), parts(values)
    met = unified(scores.dims, product.other_dims)
    if met is None:
        return "the axes of the weights do not line up with those of the windowed values"
    of_keys, of_values, same = met
    repeated = {other for mine, other in same.items() if mine.role == REPEATED}
    if not _same_axes(same, keys.window, values.window):
        return "places or positions of keys and values are in another order"
    if space_after(keys.window, slides) != space_after(values.window, slides):
        return "keys and values are not known to have the same size"
    values_split = _split(value_parts, of_values)
    shared_with = {atom for atom in flat(substituted(product.other_dims, of_values)) if atom not in repeated}
    order = flat(substituted((tuple(sharing(values, product.other_dims)),), of_values))
    shared = [atom for atom in order if atom in shared_with]
    channels = tuple(atom for atom in values_split.outer if atom not in shared_with)
    return _Alignment(slides, key_parts, values_split, _Names(of_keys, same), of_values, shared, channels)


def attend(context: Recognition, node: Any, product: Product, scores: Scores) -> str | None:
    """Insert a LocalAttention in place of the output of ``node``; return a reason to leave its parts."""
    used = context.used_elsewhere(scores.tensors)
    if used is not None:
        return f"{used} is used elsewhere too"
    scores = _refined(scores)
    aligned = _aligned(product, scores)
    if isinstance(aligned, str):
        return aligned
    keys, values, slides, names = scores.product.windowed, product.windowed, aligned.slides, aligned.names
    values_split, channels = aligned.values, aligned.channels
    bias, relative = names.terms(scores.bias), names.terms(keys.relative)
    heads = divide(aligned.shared, batch_axis(values.window), relative, bias)
    summed = flat(names((tuple(atom for atom in aligned.keys.outer if atom in scores.channels),)))

    compared, weights = scores.product, product.other
    kind = widest(compared.other.dtype, weights.dtype, node.outputs[0].dtype, compared.wide, scores.wide, product.wide)
    scale = scores.factor
    # The attribute is a float32: a scale of more digits goes into the query.
    into_query = kind == np.float64 and float(np.float32(scale)) != scale
    if into_query and compared.compose != "product":
        return f"the scale {scale} of {compared.compose.replace('_', ' ')}s has more digits than float32"
    arrange = context.arrange(node)
    canonical = Canonical(arrange, heads, kind)
    query = canonical.over_positions(
        scores.product.other, names(scores.product.other_dims), summed, values_split.positions
    )
    key = canonical.over_space(keys.window, names(aligned.keys.source), summed, slides, scores.product.other.dtype)
    value = canonical.over_space(values.window, values_split.source, channels, slides, product.other.dtype)
    bias_value = canonical.bias(bias, values_split.places, values_split.positions)
    relative_value = canonical.relative(relative, summed, values_split.places)
    made = (heads.batch, heads.heads, channels, *values_split.positions)
    inputs = (query, key, value, bias_value, relative_value)
    if into_query:
        inputs = (arrange.emit.op("Mul", query, arrange.emit.constant(scale, kind, "scale")), *inputs[1:])
        inputs[0].shape, scale = query.shape, 1.0
    options = {"compose": compared.compose, "scale": scale}
    y = canonical.operator("LocalAttention", inputs, slides, made, **options)
    name = arrange.emit.nodes[-1].name
    y = arrange.arrange(y, made, substituted(product.dims, aligned.of_values))
    context.replace(node, arrange, canonical.finished(y, node.outputs[0].dtype, product.factor))
    nodes = tuple(dict.fromkeys((*scores.nodes, *values.window.nodes, *product.nodes, node.name)))
    extras = [
        f"with {text}" for text, given in (("relative", relative_value), ("bias", bias_value)) if given is not None
    ]
    if scores.product.compose != "product":
        extras.insert(0, scores.product.compose.replace("_", " "))
    size, wide = length(summed), length(channels)
    text = described(
        "LocalAttention", slides, heads, str(size) if size == wide else f"{size} (values of {wide})", extras
    )
    context.found = [entry for entry in context.found if not _part_of(entry, scores)]
    context.found.append(LocalOperator(name, "LocalAttention", nodes, text))
    return None


def _refined(scores: Scores) -> Scores:
    """The scores with product and bias in the pieces into which later views have split their axes."""
    later = {*flat(scores.dims), *scores.channels}
    by = refinement((atom for term in scores.bias for atom in flat(term.dims)), later)
    bias = tuple(replace(term, dims=substituted(term.dims, by)) for term in scores.bias)
    return replace(scores, product=refined(scores.product, later), bias=bias)


def _part_of(entry: LocalOperator, scores: Scores) -> bool:
    """Whether a correlation is part of the attention with these scores."""
    return entry.operator == "LocalCorrelation" and set(entry.consumed) <= set(scores.nodes)


def _same_axes(same: dict[Atom, Atom], ours: Window, theirs: Window) -> bool:
    """Whether places meet only places, and positions only positions, of the same space axis and stride."""
    for mine, other in same.items():
        if mine.role in (PLACE, POSITION) or other.role in (PLACE, POSITION):
            if mine.role != other.role or mine.stride != other.stride:
                return False
            if ours.axes.index(mine.axis) != theirs.axes.index(other.axis):
                return False
        elif other.role not in (OUTER, FOREIGN, REPEATED):
            return False
    return True


def _split(found: WindowedParts, by: dict[Atom, Dim]) -> WindowedParts:
    return WindowedParts(
        flat(substituted((found.outer,), by)),
        flat(substituted((found.places,), by)),
        substituted(found.positions, by),
        substituted(found.source, by),
    )
