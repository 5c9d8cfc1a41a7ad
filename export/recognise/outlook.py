"""Outlook attention: an aggregation with a head for each place of the window, folded back by the geometry of the window.

    Col2Im(layout(LocalAggregate(weights (N, H*K, K, *P), v repeated K times)))  ->  LocalOutlook(weights (N, H, K, K, *P), v)

Exact by definition: the values that the fold writes from place o were aggregated by the heads o, which all read one v. If the
window has more padding than the fold, v gets those zeros in the graph. Refused: aggregations that are used elsewhere too,
heads that do not share their values, a fold along other axes or of another geometry, a fold that drops places that windows
read. Source: Yuan et al., arXiv:2106.13112.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

from ..domain import DOMAIN
from ..domain.window import GEOMETRY, LEADING
from ..graph.builder import GraphBuilder, Value
from ..graph.shapes import integers, producer, sizes_of
from ..graph.size import Size
from .arrange import Arrange, Sizes, Unwritable
from .canonical import SPACE, Heads, described, geometry
from .carry import CARRIERS, carried
from .context import LocalOperator, Recognition
from .layout import OUTER, PLACE, POSITION, REPEATED, Dim, Dims, flat, length, refinement, substituted, whole
from .windows import Slide


class Unlike(Exception):
    """The fold of an aggregation is not outlook attention; the message gives the reason."""


@dataclass(frozen=True)
class Outlook:
    """A verified outlook: one value for all places, the axes of weights and columns in the same atoms, and the windows."""

    value: Value
    dims: Dims
    """The dimensions of ``value``."""
    aggregated: Dims
    """The dimensions of the aggregation's output: batch, heads and places, channels, positions."""
    columns: Dims
    places: Dim
    space: Dims
    """The space axes of the value."""
    slides: tuple[Slide, ...]
    """The window of the fold."""
    zeros: tuple[tuple[int, int], ...]
    """The zeros that the value gets before and behind each space axis."""
    sizes: tuple[Size, ...]
    """The space of the fold."""

    @property
    def heads(self) -> Dim:
        """The aggregation's heads that are not places."""
        return tuple(atom for atom in self.aggregated[1] if atom not in self.places)


def fold_back(context: Recognition) -> list[Any]:
    """Insert a LocalOutlook in place of each Col2Im that folds an aggregation back. Return the new nodes.

    The graph must be clean and in order; replaced nodes stay in it without outputs.
    """
    made: list[Any] = []
    for node in context.graph.nodes:
        if node.domain != DOMAIN or node.op != "Col2Im":
            continue
        chain = _carriers(node.inputs[0])
        aggregate = producer(chain[0].inputs[0] if chain else node.inputs[0])
        if aggregate is None or aggregate.domain != DOMAIN or aggregate.op != "LocalAggregate":
            continue
        try:
            made += _outlook(context, node, aggregate, chain)
        except (Unlike, Unwritable) as reason:
            context.refused[node.name] = f"it folds what {aggregate.name!r} has aggregated, but {reason}"
    return made


def _outlook(context: Recognition, node: Any, aggregate: Any, chain: list[Any]) -> list[Any]:
    tensors = [aggregate.outputs[0], *(link.outputs[0] for link in chain)]
    other = context.used_elsewhere(tensors)
    if other is not None:
        raise Unlike(f"{other} is used elsewhere too")
    verified = _verified(node, aggregate, chain)
    arrange = Arrange(GraphBuilder(node, context.taken, context.graph.opset), Sizes(context.graph))
    y = _written(arrange, node, aggregate, verified)
    name = next(made.name for made in arrange.emit.nodes if made.domain == DOMAIN)
    arrange.emit.finish(y)
    entry = next((found for found in context.found if found.node == aggregate.name), None)
    new = {made.name for made in context.nodes}
    nodes = [*(entry.consumed if entry is not None else ()), *(link.name for link in chain if link.name not in new)]
    heads = Heads(verified.aggregated[0], verified.heads)
    text = described("LocalOutlook", verified.slides, heads, str(length(verified.aggregated[2])))
    context.found.append(LocalOperator(name, "LocalOutlook", tuple(dict.fromkeys([*nodes, node.name])), text))
    return arrange.emit.nodes


def _carriers(tensor: Value) -> list[Any]:
    """The layout operators that lead to a tensor, in the order of the graph."""
    found: list[Any] = []
    node = producer(tensor)
    while node is not None and node.domain in ("", None) and node.op in CARRIERS:
        found.insert(0, node)
        node = producer(node.inputs[0])
    return found


def _axes(tensor: Value) -> tuple[Size, ...]:
    sizes = sizes_of(tensor)
    if sizes is None:
        raise Unlike(f"the rank of {tensor.name} is not known")
    return sizes


def _along(chain: list[Any], dims: Dims) -> Dims:
    for node in chain:
        moved = carried(node, dims)
        if moved is None:
            raise Unlike(f"{node.op} {node.name!r} takes an axis apart in a way that cannot be told")
        dims = moved
    return dims


def _shared(tensor: Value) -> tuple[Value, Dims, Dims]:
    """The value before it is repeated, its dimensions, and those of ``tensor``, the repeated value."""
    chain = _carriers(tensor)
    for at in reversed(range(len(chain))):
        if chain[at].op in ("Expand", "Tile"):
            value = chain[at].inputs[0]
            before = tuple(whole(OUTER, axis, size) for axis, size in enumerate(_axes(value)))
            dims = _along(chain[at:], before)
            fine = refinement(flat(before), flat(dims))
            return value, substituted(before, fine), dims
    raise Unlike("its heads do not share their values")


def _verified(node: Any, aggregate: Any, chain: list[Any]) -> Outlook:
    value, before, repeated = _shared(aggregate.inputs[1])
    counts = _axes(aggregate.outputs[0])[LEADING:]
    positions = tuple(whole(POSITION, axis, count) for axis, count in enumerate(counts))
    mixed = (*repeated[:LEADING], *positions)
    columns = _along(chain, mixed)
    fine = refinement([*flat(mixed), *flat(before)], flat(columns))
    mixed, before, repeated = (substituted(dims, fine) for dims in (mixed, before, repeated))
    if columns[2] != flat(mixed[LEADING:]):
        raise Unlike("the last axis that is folded is not that of the positions, in their order")
    places = _last(columns[1], Size.number(prod(node.attrs["kernel"])))
    if places is None or any(atom.role != REPEATED or atom not in mixed[1] for atom in places):
        raise Unlike("the places that are folded are not heads that share their values")
    space = repeated[LEADING:]
    slides, zeros, sizes = _folded(node, aggregate, tuple(map(length, space)))
    return Outlook(value, before, mixed, columns, places, space, slides, zeros, sizes)


def _last(dim: Dim, size: Size) -> Dim | None:
    """The last atoms of a dimension with the total length ``size``."""
    for at in reversed(range(len(dim) + 1)):
        if length(dim[at:]) == size:
            return dim[at:]
    return None


def _folded(
    node: Any, aggregate: Any, space: tuple[Size, ...]
) -> tuple[tuple[Slide, ...], tuple[tuple[int, int], ...], tuple[Size, ...]]:
    """The geometry of the fold, the zeros that enlarge a value of the lengths ``space`` to the fold's, and the fold's lengths."""
    for name in ("kernel", "dilation", "stride"):
        if list(node.attrs[name]) != list(aggregate.attrs[name]):
            raise Unlike(f"with {name} {list(node.attrs[name])} in place of {list(aggregate.attrs[name])}")
    targets, rank = integers(node.inputs[1]), len(space)
    if rank != len(node.attrs["kernel"]) or targets is None or any(size is None for size in targets):
        raise Unlike("the size that it folds to cannot be told")
    theirs, ours = _slides(aggregate), _slides(node)
    sizes, zeros = [], []
    for taken, folded, size, target in zip(theirs, ours, space, targets, strict=True):
        assert target is not None
        before = taken.begin - folded.begin
        behind = (target - size - Size.number(before)).value
        if behind is None or min(before, behind) < 0:  # the positions are as many: they are the columns that are folded
            raise Unlike(
                f"windows of {size} values, padded by {taken.begin}, do not fold to {target} and {folded.begin}"
            )
        sizes.append(target)
        zeros.append((before, behind))
    return ours, tuple(zeros), tuple(sizes)


def _slides(node: Any) -> tuple[Slide, ...]:
    kernel, dilation, pads, stride = (node.attrs[name] for name in GEOMETRY)
    rank = len(kernel)
    return tuple(Slide(a, kernel[a], dilation[a], pads[a], pads[a + rank], stride[a]) for a in range(rank))


def _written(arrange: Arrange, node: Any, aggregate: Any, verified: Outlook) -> Value:
    emit, (batch, _, channels, *positions) = arrange.emit, verified.aggregated
    taps = whole(PLACE, 0, length(verified.places))
    weights = arrange.arrange(
        aggregate.inputs[0],
        (batch, verified.aggregated[1], taps, *positions),
        (batch, verified.heads, verified.places, taps, *positions),
    )
    value = arrange.arrange(verified.value, verified.dims, (batch, verified.heads, channels, *verified.space))
    value = emit.pad(value, LEADING + len(verified.zeros), {LEADING + a: pair for a, pair in enumerate(verified.zeros)})
    space = tuple(whole(SPACE, axis, size) for axis, size in enumerate(verified.sizes))
    made = (batch, verified.heads, channels, *space)
    value.shape = [length(dim).entry for dim in made]
    y = emit.op("LocalOutlook", weights, value, part="LocalOutlook", dtype=weights.dtype, **geometry(verified.slides))
    emit.nodes[-1].domain = DOMAIN
    y.shape = list(value.shape)
    front = tuple(atom for atom in verified.columns[1] if atom not in verified.places)
    return arrange.arrange(y, made, (verified.columns[0], front, *space))
