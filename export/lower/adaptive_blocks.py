"""AdaptiveAverage and AdaptiveMax where the windows tile the axis (O divides S): Reshape, then one reduction.

(..., S, ...) -> (..., O, S/O, ...) -> mean or max over the new axis;   O = 1 is the reduction alone, for any S
"""

from typing import Any

from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.values import constant_ints, known
from .lowering import LAUNCH, Lowering, Where
from .unfold_slices import axis_refusal

_REDUCTIONS = {"AdaptiveAverage": "ReduceMean", "AdaptiveMax": "ReduceMax"}


def output_length(emit: GraphBuilder, node: Any) -> Dim:
    """O: a number where it is known, else the node's second input."""
    length = _known_length(node)
    return length if length is not None else node.inputs[1]


def _known_length(node: Any) -> int | None:
    constant = constant_ints(node.inputs[1])
    return constant[0] if constant is not None else known(node.outputs[0], node.attrs["axis"])


def _refuse(node: Any, where: Where) -> str | None:
    if (refusal := axis_refusal(node, where)) is not None:
        return refusal
    size, count = known(node.inputs[0], node.attrs["axis"]), _known_length(node)
    if count == 1:
        return None
    if size is None or count is None:
        return "whether the windows tile the axis is not known: a length is free"
    return f"{count} windows do not tile {size} values" if size % count else None


def _build(emit: GraphBuilder, node: Any) -> Value:
    x, axis = node.inputs[0], node.attrs["axis"]
    reduction = _REDUCTIONS[node.op]
    size, count = known(x, axis), _known_length(node)
    if count == 1:
        return emit.op(reduction, x, emit.ints([axis]), keepdims=1)
    if size is None or count is None or size == count:
        return x  # one value a window; free lengths are refused
    after = [emit.dim(x, later) for later in range(axis + 1, len(x.shape))]
    blocks = emit.reshape(x, [*[0] * axis, count, size // count, *after])
    return emit.op(reduction, blocks, emit.ints([axis + 1]), keepdims=0)


AVERAGE, MAX = (
    Lowering(name, op, _refuse, lambda node: 1.5 + LAUNCH * 2, _build)
    for name, op in (("adaptive_average_blocks", "AdaptiveAverage"), ("adaptive_max_blocks", "AdaptiveMax"))
)
