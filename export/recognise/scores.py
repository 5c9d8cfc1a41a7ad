"""Operators on scores, between the correlation and the values: scales, biases, masks, the softmax over the window."""

from dataclasses import replace
from typing import Any

from ..graph.shapes import scalar, sizes_of
from .context import Recognition
from .contract import UnknownAxes, elementwise
from .layout import FOREIGN, PLACE, Dims, flat
from .views import Scores
from .windows import Term

MASKED = -1e9
"""Writing this or less in place of a score equals adding it, up to rounding, also if all scores are masked."""


def step(context: Recognition, node: Any, scores: Scores, at: int) -> Scores | str:
    """The view of the output of ``node``, whose input ``at`` has scores; a reason if there is none."""
    if scores.soft:
        return f"{node.op} {node.name!r} changes the weights after the softmax"
    if node.op == "Neg":
        return _times(scores, -1.0)
    if node.op in ("Mul", "Div"):
        number = scalar(node.inputs[1 - at])
        if number is None or (node.op == "Div" and (at == 1 or number == 0)):
            return f"{node.op} {node.name!r}: the scores are not multiplied by one constant"
        return _times(scores, number if node.op == "Mul" else 1.0 / number)
    if node.op in ("Add", "Sub"):
        return _added(node, scores, at)
    if node.op == "Where":
        return _masked(context, node, scores, at)
    if node.op == "Softmax":
        return _soft(context, node, scores)
    return f"{node.op} {node.name!r} lies between the scores and the softmax"


def _times(scores: Scores, number: float) -> Scores:
    bias = tuple(replace(term, factor=term.factor * number) for term in scores.bias)
    return replace(scores, factor=scores.factor * number, bias=bias)


def _aligned(scores: Scores, tensor: Any) -> Dims | str:
    """The dimensions of a tensor that is broadcast to the scores, which keep theirs."""
    sizes = sizes_of(tensor)
    if sizes is None:
        return f"the rank of {tensor.name} is not known"
    try:
        met = elementwise(scores.dims, sizes)
    except UnknownAxes as error:
        return str(error)
    if any(atom.role == FOREIGN for atom in flat(met.other)) and met.out != scores.dims:
        return f"{tensor.name} has an axis that the scores do not have"
    return met.other


def _added(node: Any, scores: Scores, at: int) -> Scores | str:
    other = node.inputs[1 - at]
    if other is node.inputs[at]:
        return _times(scores, 2.0 if node.op == "Add" else 0.0)
    dims = _aligned(scores, other)
    if isinstance(dims, str):
        return f"{node.op} {node.name!r}: {dims}"
    if node.op == "Sub" and at == 1:
        scores = _times(scores, -1.0)
    factor = -1.0 if node.op == "Sub" and at == 0 else 1.0
    return replace(scores, bias=(*scores.bias, Term(other, dims, factor)))


def _masked(context: Recognition, node: Any, scores: Scores, at: int) -> Scores | str:
    if at == 0:
        return f"Where {node.name!r} chooses by the scores"
    condition, fill = node.inputs[0], node.inputs[3 - at]
    number = scalar(fill)
    if number is None or number > MASKED:
        return f"Where {node.name!r} does not mask by -inf: a window masked in full would differ"
    dims = _aligned(scores, condition)
    if isinstance(dims, str):
        return f"Where {node.name!r}: {dims}"
    arrange = context.arrange(node)
    emit = arrange.emit
    dtype = fill.dtype
    low, zero = emit.constant(number, dtype, "masked"), emit.constant(0, dtype, "open")
    chosen = (zero, low) if at == 1 else (low, zero)
    bias = emit.op("Where", condition, *chosen, part="mask_bias", dtype=dtype)
    bias.shape = condition.shape
    context.keep(arrange)
    return replace(scores, bias=(*scores.bias, Term(bias, dims)))


def _soft(context: Recognition, node: Any, scores: Scores) -> Scores | str:
    rank = len(scores.dims)
    axis = node.attrs.get("axis", -1 if context.graph.opset >= 13 else 1) % rank
    if context.graph.opset < 13 and axis != rank - 1:
        return f"Softmax {node.name!r} is over several axes"
    places = {atom for atom in flat(scores.dims) if atom.role == PLACE}
    if set(scores.dims[axis]) != places:
        return f"Softmax {node.name!r} is not over exactly the window"
    return replace(scores, soft=True)
