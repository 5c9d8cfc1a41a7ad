"""A weighted sum over the taps of a window, written as a chain of Adds, becomes the window operator, one product, one ReduceSum.

    sum(a[:, t:t+1] * vp[:, :, i:i+H, j:j+W] for t, (i, j))  ->  ReduceSum(a[:, None] * windows(vp), taps)

The weights must be entries of a tensor, one for each tap. A sum of slices is a box filter, and one with constant weights a
convolution; a window operator would only slow those down. Other terms (a residual) are added afterwards. The order of the
additions changes their rounding, and nothing else.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.shapes import constant, length, producer
from ..graph.size import ONE
from . import joins
from .lifted import Writer
from .rule import Match, RaisingRule


def find(node: Any) -> Match[tuple[joins.Joined, list[Any]]] | str | None:
    """``node`` is the last Add. The match has the branches, and the other terms of the sum."""
    if node.op != "Add" or _inner(node.outputs[0]):
        return None
    terms = _terms(node)
    if len(terms) < joins.FEWEST:
        return None
    branches = [t for t in terms if (made := producer(t)) is not None and made.op in ("Mul", "MatMul", "Einsum")]
    rest = [t for t in terms if not any(t is b for b in branches) and not _zero(t, node.outputs[0])]
    joined = joins.find(tuple(branches))
    if not isinstance(joined, joins.Joined):
        return joined
    if not any(grid.entries and not grid.windows for grid in joined.grids):
        return None
    return Match(node, joined.ops, (joined, rest))


def build(emit: GraphBuilder, match: Match[tuple[joins.Joined, list[Any]]]) -> Value:
    """The sum of the branches, and of the other terms."""
    joined, rest = match.data
    x = Writer(emit, joined.order).write(joined.tree)
    assert x.at is not None
    summed = emit.op("ReduceSum", x.value, emit.ints([x.at]), keepdims=0)
    return emit.sum([summed, *rest])


RULE = RaisingRule("shifted_sum", find, build)


def _inner(value: Any) -> bool:
    """Whether a sum is only a term of another."""
    return len(value.outputs) == 1 and value.outputs[0].op == "Add"


def _terms(node: Any) -> list[Any]:
    """The terms of a tree of Adds, in order."""
    terms: list[Any] = []
    open_values = list(node.inputs)[::-1]
    while open_values:
        value = open_values.pop()
        made = producer(value)
        if made is not None and made.op == "Add" and _inner(value):
            open_values += list(made.inputs)[::-1]
        else:
            terms.append(value)
    return terms


def _zero(value: Any, total: Any) -> bool:
    """Whether adding it changes nothing: zeros that do not enlarge the shape of the sum."""
    if not _zeros(value) or value.shape is None or total.shape is None or len(value.shape) > len(total.shape):
        return False
    sizes = [(length(value, axis), length(total, axis)) for axis in range(-len(value.shape), 0)]
    return all(size is not None and size in (other, ONE) for size, other in sizes)


def _zeros(value: Any) -> bool:
    numbers, made = constant(value), producer(value)
    if made is not None and made.op == "ConstantOfShape":
        return "value" not in made.attrs or not made.attrs["value"].values.any()
    if made is not None and made.op == "Expand":
        return _zeros(made.inputs[0])
    return numbers is not None and not numbers.any()
