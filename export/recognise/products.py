"""Operators that multiply windows with another tensor, or sum such a product: correlations and aggregations begin here."""

from dataclasses import replace
from typing import Any

from ..graph.shapes import scalar, sizes_of
from .aggregate import aggregate
from .arrange import Unwritable
from .carry import axes_of
from .context import Recognition
from .contract import UnknownAxes, contracted
from .correlate import correlate, softmax_follows
from .layout import PLACE, Atom, flat
from .views import DIFFERENCE, Product
from .windows import Windowed

DIFFERENCES = {"Pow": "squared_difference", "Mul": "squared_difference", "Abs": "absolute_difference"}


def multiply(context: Recognition, node: Any, windowed: Windowed, at: int) -> None:
    """Mul, Sub, MatMul or Einsum of windows (input ``at``) and another tensor."""
    other = node.inputs[1 - at]
    number = scalar(other)
    if number is not None and node.op == "Mul":
        context.views[node.outputs[0].name] = replace(
            windowed, factor=windowed.factor * number, cut=None, nodes=(*windowed.nodes, node.name)
        )
        return
    sizes = sizes_of(other)
    if node.op == "Sub" and windowed.factor != 1.0:
        context.left(windowed.window, f"Sub {node.name!r}: the windows are scaled before")
        return
    if sizes is None:
        context.left(windowed.window, f"the rank of {other.name} is not known")
        return
    try:
        contraction = contracted(node, windowed.dims, sizes, at)
    except UnknownAxes as error:
        context.left(windowed.window, f"{node.op} {node.name!r}: {error}")
        return
    product = Product(
        windowed,
        other,
        contraction.other,
        contraction.out,
        contraction.summed,
        (*windowed.nodes, node.name),
        DIFFERENCE if node.op == "Sub" else "product",
        windowed.factor,
    )
    settle(context, node, product, node.op in ("MatMul", "Einsum"))


def settle(context: Recognition, node: Any, product: Product, summing: bool) -> None:
    """Handle the product that ``node`` outputs: insert an aggregation or a correlation if it is complete, else record it."""
    try:
        _settle(context, node, product, summing)
    except Unwritable as unwritable:
        context.left(product.windowed.window, f"{node.op} {node.name!r}: {unwritable}")


def _settle(context: Recognition, node: Any, product: Product, summing: bool) -> None:
    (output,) = node.outputs
    places = {atom for atom in flat(product.windowed.dims) if atom.role == PLACE}
    summed = {atom for atom in product.summed if atom.role == PLACE}
    left = {atom for atom in flat(product.dims) if atom.role == PLACE}
    if summed and not left:
        aggregate(context, node, product)
        return
    weighted = bool(places & set(flat(product.other_dims)))
    done = product.compose != DIFFERENCE and not summed and not weighted
    if done and (summing or softmax_follows(output)):
        context.views[output.name] = correlate(context, node, product)
    else:
        context.views[output.name] = product


def scaled(context: Recognition, node: Any, product: Product) -> bool:
    """Handle a product times or over one constant, or negated; return whether ``node`` is one."""
    number = -1.0 if node.op == "Neg" else None
    if node.op in ("Mul", "Div"):
        at = 1 if context.view(node.inputs[0]) is product else 0
        number = scalar(node.inputs[at])
        if number is not None and node.op == "Div":
            number = 1.0 / number if at == 1 and number else None
    if number is None or product.compose == DIFFERENCE:
        return False
    nodes = (*product.nodes, node.name)
    context.views[node.outputs[0].name] = replace(product, factor=product.factor * number, nodes=nodes)
    return True


def power(context: Recognition, node: Any, product: Product) -> bool:
    """Handle the square or absolute value of a difference; return whether ``node`` is one."""
    if product.compose != DIFFERENCE or node.op not in DIFFERENCES:
        return False
    if node.op == "Pow" and scalar(node.inputs[1]) != 2:
        return False
    if node.op == "Mul" and node.inputs[0] is not node.inputs[1]:
        return False
    made = replace(product, compose=DIFFERENCES[node.op], nodes=(*product.nodes, node.name))
    settle(context, node, made, summing=False)
    return True


def reduce(context: Recognition, node: Any, product: Product) -> bool:
    """Handle ReduceSum or ReduceMean of a product; return False if its axes or lengths are not known."""
    axes = axes_of(node, len(product.dims))
    if product.compose == DIFFERENCE:
        reason = "a difference is summed without a square or absolute value"
        context.left(product.windowed.window, f"{node.op} {node.name!r}: {reason}")
        return True
    if axes is None:
        if (len(node.inputs) > 1 and node.inputs[1].name) or node.attrs.get("noop_with_empty_axes", 0):
            return False
        axes = list(range(len(product.dims)))
    keep = node.attrs.get("keepdims", 1)
    gone: set[Atom] = {atom for axis in axes for atom in product.dims[axis]}
    dims = tuple(() if axis in axes else dim for axis, dim in enumerate(product.dims) if keep or axis not in axes)
    factor = product.factor
    if node.op == "ReduceMean":
        for atom in gone:
            if atom.length.value is None:
                return False
            factor /= atom.length.value
    made = replace(product, dims=dims, summed=product.summed | gone, nodes=(*product.nodes, node.name), factor=factor)
    settle(context, node, made, summing=True)
    return True
