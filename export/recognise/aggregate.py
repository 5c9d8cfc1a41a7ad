"""Aggregation: a product of weights with windows, summed over the whole window.

    sum over t of weights[.. t, p] * windows[.. d, t, p]  ->  LocalAggregate

Exact by definition, as the correlation is. Channels that the weights do not have are D, those that they have are heads.
Involution and local convolutions are aggregations without a softmax. Refused: weights that are equal at all places of the
window, sums over channels too, terms added to the values.
"""

from typing import Any

from ..graph.shapes import widest
from .arrange import Unwritable
from .attend import attend
from .canonical import Canonical, batch_axis, described, divide, parts, sharing
from .context import LocalOperator, Recognition
from .correlate import shares_blocks
from .layout import PLACE, REPEATED, flat, length
from .position import positioned
from .views import Product, Scores, refined


def refusal(product: Product) -> str | None:
    """The reason why a product that is summed over the whole window is not an aggregation."""
    weights = set(flat(product.other_dims))
    if product.compose != "product":
        return "a difference is summed over the window"
    if any(atom.role != PLACE for atom in product.summed):
        return "the sum is over channels as well as over the window"
    if not product.summed <= weights:
        return "the weights are the same for several places of the window"
    if product.windowed.relative:
        return "a term is added to the values of the window"
    if any(atom.role == REPEATED for atom in set(flat(product.windowed.dims)) - weights):
        return "the windows are repeated along an axis that the weights do not have"
    return shares_blocks(product)


def aggregate(context: Recognition, node: Any, product: Product) -> None:
    """Insert a LocalAggregate or a LocalAttention in place of the output of ``node``. Raises Unwritable with the reason to leave it."""
    product = refined(product)
    if (reason := refusal(product)) is not None:
        raise Unwritable(reason)
    split = parts(product.windowed)
    scores = context.view(product.other)
    if isinstance(scores, Scores) and scores.soft:
        reason = _attended(context, node, product, scores)
        if reason is None:
            return
    window = product.windowed.window
    weights = set(flat(product.other_dims))
    channels = tuple(atom for atom in split.outer if atom not in weights)
    shared = [atom for atom in sharing(product.windowed, product.other_dims) if atom in weights]
    heads = divide(shared, batch_axis(window), (), ())
    arrange = context.arrange(node)
    canonical = Canonical(arrange, heads, widest(node.outputs[0].dtype, product.wide))
    given = canonical.over_positions(product.other, product.other_dims, split.places, split.positions)
    value = canonical.over_space(window, split.source, channels, window.slides, product.other.dtype)
    made = (heads.batch, heads.heads, channels, *split.positions)
    y = canonical.operator("LocalAggregate", (given, value), window.slides, made)
    name = arrange.emit.nodes[-1].name
    if reason is not None:
        context.refused[name] = f"stays apart from the softmax before it: {reason}"
    y = arrange.arrange(y, made, product.dims)
    context.replace(node, arrange, canonical.finished(y, node.outputs[0].dtype, product.factor))
    nodes = tuple(dict.fromkeys((*window.nodes, *product.nodes, node.name)))
    text = described("LocalAggregate", window.slides, heads, str(length(channels)))
    context.found.append(LocalOperator(name, "LocalAggregate", nodes, text))


def _attended(context: Recognition, node: Any, product: Product, scores: Scores) -> str | None:
    """Insert one attention with position terms in the keys, or as biases if that cannot be written."""
    moved = positioned(context, node, scores)
    reason: str | None = None
    for given in [scores] if moved is scores else [moved, scores]:
        try:
            reason = attend(context, node, product, given)
        except Unwritable as unwritable:
            reason = str(unwritable)
        if reason is None:
            return None
    return reason
