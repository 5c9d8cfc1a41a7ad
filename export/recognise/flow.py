"""Walk once over the nodes in order, and compute the view of each output from the views of the inputs."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..domain import DOMAIN
from ..graph.shapes import sizes_of, widest
from .arrange import Unwritable
from .carry import CARRIERS, carried
from .context import Recognition
from .contract import UnknownAxes, elementwise
from .cuts import concatenated, gathered, sliced, split, takes_all
from .layout import OUTER, PLACE, flat
from .products import multiply, power, reduce, scaled
from .scores import step
from .settle import folded
from .views import Product, Scores
from .windows import Term, Windowed, im2col, unfold

_PRODUCTS = ("Mul", "Sub", "MatMul", "Einsum")


def visit(context: Recognition, node: Any) -> None:
    """Visit one node: replace it, or record the views of its outputs."""
    if node.domain == DOMAIN and node.op in ("Im2Col", "Unfold"):
        _window(context, node)
        return
    views = [context.view(tensor) for tensor in node.inputs]
    if all(view is None for view in views) or node.domain not in (None, "", "ai.onnx"):
        return
    if node.op in CARRIERS or (node.op == "Slice" and takes_all(node)):
        _carry(context, node)
        return
    if node.op == "Cast":
        _cast(context, node)
        return
    # Scores that meet windows are the weights of those.
    windows = [at for at, view in enumerate(views) if isinstance(view, Windowed)]
    if len(windows) == 1 and len(views) == 2 and node.op in _PRODUCTS:
        view = views[windows[0]]
        if isinstance(view, Windowed):
            multiply(context, node, view, windows[0])
        return
    at, view = next((at, view) for at, view in enumerate(views) if view is not None)
    if isinstance(view, Windowed):
        _windowed(context, node, view, at, views)
    elif isinstance(view, Product):
        _product(context, node, view)
    else:
        _scores(context, node, view, at)


def _window(context: Recognition, node: Any) -> None:
    if node.outputs[0].name not in context.outputs and folded(node):
        return
    view = context.view(node.inputs[0])
    found = im2col(node) if node.op == "Im2Col" else unfold(node, view if isinstance(view, Windowed) else None)
    if found is None:
        context.reasons.setdefault(node.name, "the rank of its input is not known, or it is taken of other windows")
    else:
        context.views[node.outputs[0].name] = found


def _carry(context: Recognition, node: Any) -> None:
    view = context.view(node.inputs[0])
    if view is None:
        return
    (output,) = node.outputs
    dims = view.dims if node.op == "Slice" else carried(node, view.dims)
    if dims is None:
        _lost(context, node, view, "it takes an axis apart in a way that cannot be told")
        return
    moved = replace(view, dims=dims, nodes=(*view.nodes, node.name))
    if isinstance(moved, Scores):
        moved = replace(moved, tensors=(*moved.tensors, output))
    elif isinstance(moved, Windowed):
        moved = replace(moved, cut=None)
    context.views[output.name] = moved


def _cast(context: Recognition, node: Any) -> None:
    """A cast between float types changes no axis. The operators behind it compute in the widest type of the casts."""
    view = context.view(node.inputs[0])
    (output,) = node.outputs
    kind = output.dtype
    if view is None or kind is None or np.dtype(kind).kind != "f":
        if view is not None:
            _lost(context, node, view, "it leaves the floating types")
        return
    nodes = (*view.nodes, node.name)
    if isinstance(view, Windowed):
        context.views[output.name] = replace(view, nodes=nodes)
    elif isinstance(view, Product):
        context.views[output.name] = replace(view, nodes=nodes, wide=widest(view.wide, kind))
    else:
        wide = widest(view.wide, kind)
        context.views[output.name] = replace(view, nodes=nodes, tensors=(*view.tensors, output), wide=wide)


def _lost(context: Recognition, node: Any, view: Windowed | Product | Scores, reason: str) -> None:
    if isinstance(view, Scores):
        context.refused[node.name] = f"the attention ends here: {reason}"
        return
    window = view.window if isinstance(view, Windowed) else view.windowed.window
    context.left(window, f"{node.op} {node.name!r}: {reason}")


def _windowed(context: Recognition, node: Any, view: Windowed, at: int, views: list[Any]) -> None:
    if node.op == "Slice":
        found = sliced(node, view) if at == 0 else None
    elif node.op == "Gather":
        found = gathered(node, view) if at == 0 else None
    elif node.op == "Split":
        for output, part in zip(node.outputs, split(node, view), strict=True):
            if part is not None:
                context.views[output.name] = replace(part, nodes=(*part.nodes, node.name))
        return
    elif node.op == "Concat":
        parts = [entry if isinstance(entry, Windowed) else None for entry in views]
        try:
            found = concatenated(context, node, parts)
        except Unwritable:
            found = None
    elif node.op == "Add":
        found = _relative(node, view, at)
    elif node.op in _PRODUCTS:
        for entry in views:
            if isinstance(entry, Windowed):
                context.left(entry.window, f"{node.op} {node.name!r} multiplies windows with windows")
        return
    else:
        found = None
    if found is None:
        context.left(view.window, f"{node.op} {node.name!r} uses them in a way that is not a local product")
        return
    context.views[node.outputs[0].name] = replace(found, nodes=tuple(dict.fromkeys((*found.nodes, node.name))))


def _relative(node: Any, view: Windowed, at: int) -> Windowed | None:
    """Windows plus a term that is equal at all positions."""
    other = node.inputs[1 - at]
    sizes = sizes_of(other)
    if sizes is None or view.factor != 1.0:
        return None
    try:
        met = elementwise(view.dims, sizes)
    except UnknownAxes:
        return None
    if met.out != view.dims or any(atom.role not in (OUTER, PLACE) for atom in flat(met.other)):
        return None
    return replace(view, relative=(*view.relative, Term(other, met.other)))


def _product(context: Recognition, node: Any, product: Product) -> None:
    follow = reduce if node.op in ("ReduceSum", "ReduceMean") else power
    if not follow(context, node, product) and not scaled(context, node, product):
        _lost(context, node, product, "the product with the windows is not summed")


def _scores(context: Recognition, node: Any, scores: Scores, at: int) -> None:
    found = step(context, node, scores, at)
    if isinstance(found, str):
        context.refused[node.name] = f"the attention ends here: {found}"
        return
    output = node.outputs[0]
    context.views[output.name] = replace(found, nodes=(*found.nodes, node.name), tensors=(*found.tensors, output))
