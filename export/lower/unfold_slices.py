"""Unfold as shifted views: one strided Slice for each place in the window, Concat along a new last axis.

    y[..., p, ..., t] = x[..., t + p*step, ...]

Place t is the Slice that starts at t, steps by ``step`` and ends ``size - 1 - t`` before the axis' end: any length of
the axis, no Shape.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from .im2col_slices import tap_bounds
from .lowering import LAUNCH, Lowering, Where


def axis_refusal(node: Any, where: Where) -> str | None:
    """The reason to refuse an axis that is not there."""
    shape, axis = node.inputs[0].shape, node.attrs["axis"]
    if shape is None:
        return "the rank of x is not known"
    return None if 0 <= axis < len(shape) else f"axis {axis} is not one of the {len(shape)} of x"


def _cost(node: Any) -> float:
    return 2.0 + LAUNCH * (int(node.attrs["size"]) + 2)


def _build(emit: GraphBuilder, node: Any) -> Value:
    axis, size, step = (node.attrs[key] for key in ("axis", "size", "step"))
    x = emit.unsqueeze(node.inputs[0], [len(node.inputs[0].shape)])
    places = []
    for t in range(size):
        start, end = tap_bounds(t, size, 1)
        places.append(emit.slice(x, [start], [end], [axis], [step]))
    return emit.concat(places, axis=-1)


LOWERING = Lowering("unfold_slices", "Unfold", axis_refusal, _cost, _build)
