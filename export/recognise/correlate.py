"""Correlation: a product of a query with windows, summed over channels and not over the window.

    sum over d of compose(query[.. d, p], windows[.. d, t, p] + relative[d, t])  ->  LocalCorrelation

Exact: the operator is this sum by definition; what comes before and behind it only rearranges axes. A product that is not
summed at all is a correlation of one channel where a softmax over the window follows, as in per-channel attention.
Refused: queries that share a window with others of their block (halo attention is fastest as MatMul on blocks), windows of
which an axis was taken apart, sums over a part of the window.
"""

from typing import Any

from ..graph.shapes import widest
from ..graph.size import ONE, Size
from .arrange import Unwritable
from .canonical import Canonical, batch_axis, described, divide, parts, sharing
from .context import LocalOperator, Recognition
from .layout import FOREIGN, OUTER, PLACE, REPEATED, flat, length
from .views import Product, Scores, refined

_TO_SOFTMAX = {
    "Add", "Sub", "Mul", "Div", "Neg", "Where", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Flatten", "Identity",
    "Expand", "Pow", "Abs", "Cast",
}  # fmt: skip
_NEAR = 16


def shares_blocks(product: Product) -> str | None:
    """The reason to leave windows that several queries share, as they do in halo attention."""
    foreign = length(atom for atom in flat(product.other_dims) if atom.role == FOREIGN)
    steps = Size.number(1)
    for slide in product.windowed.window.slides:
        steps = steps * Size.number(slide.stride)
    if foreign == ONE or steps == ONE:
        return None
    if foreign == length(product.windowed.window.places):
        return None  # outlook attention: a weight for each pair of places
    return f"{foreign} queries share each window (blocked or halo attention): MatMul on the blocks stays"


def refusal(product: Product) -> str | None:
    """The reason why a product that does not sum the window is not a correlation."""
    atoms = set(flat(product.windowed.dims))
    if any(atom.role != OUTER for atom in product.summed):
        return "the sum is not over channels of the windows"
    if any(atom.role == PLACE for atom in flat(product.other_dims)):
        return "the windows are weighted but not summed over the window"
    if any(atom.role == REPEATED for atom in atoms - set(flat(product.other_dims))):
        return "the windows are repeated along an axis that the other factor does not have"
    return shares_blocks(product)


def correlate(context: Recognition, node: Any, product: Product) -> Scores:
    """Insert a LocalCorrelation in place of the output of ``node`` and return its scores. Raises Unwritable with the reason to leave it."""
    product = refined(product)
    if (reason := refusal(product)) is not None:
        raise Unwritable(reason)
    split = parts(product.windowed)
    window, (output,) = product.windowed.window, node.outputs
    channels = tuple(atom for atom in split.outer if atom in product.summed)
    shared = [atom for atom in sharing(product.windowed, product.other_dims) if atom not in product.summed]
    heads = divide(shared, batch_axis(window), product.windowed.relative, ())
    arrange = context.arrange(node)
    canonical = Canonical(arrange, heads, widest(output.dtype, product.wide))
    query = canonical.over_positions(product.other, product.other_dims, channels, split.positions)
    key = canonical.over_space(window, split.source, channels, window.slides, product.other.dtype)
    relative = canonical.relative(product.windowed.relative, channels, split.places)
    made = (heads.batch, heads.heads, split.places, *split.positions)
    y = canonical.operator("LocalCorrelation", (query, key, relative), window.slides, made, compose=product.compose)
    name = arrange.emit.nodes[-1].name
    y = arrange.arrange(y, made, product.dims)
    context.replace(node, arrange, canonical.finished(y, node.outputs[0].dtype, product.factor))
    nodes = tuple(dict.fromkeys((*window.nodes, *product.nodes, node.name)))
    extras = ["with relative"] if relative is not None else []
    extras += [product.compose.replace("_", " ")] if product.compose != "product" else []
    text = described("LocalCorrelation", window.slides, heads, str(length(channels)), extras)
    context.found.append(LocalOperator(name, "LocalCorrelation", nodes, text))
    return Scores(product, frozenset(channels), product.dims, product.factor, nodes, (output,))


def softmax_follows(tensor: Any) -> bool:
    """Whether elementwise and layout operators lead from a value to a softmax."""
    front, seen = [tensor], 0
    while front and seen < _NEAR:
        for node in front.pop(0).outputs:
            seen += 1
            if node.op == "Softmax":
                return True
            if node.op in _TO_SOFTMAX:
                front += node.outputs
    return False
