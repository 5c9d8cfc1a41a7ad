"""Roll as two Slices joined the other way round, as in a Swin block's cyclic shift.

    y = Concat(x[cut:], x[:cut]),   cut = D - shift mod D

With an axis of known length the cut is a number (and a roll by nothing is the Identity); else it is computed from the
axis' length, since a shift may exceed it. A shift that is itself computed works the same way.
"""

from typing import Any

from ..graph.builder import TO_END, GraphBuilder, Value
from ..graph.values import constant_ints, known
from .lowering import LAUNCH, Lowering
from .unfold_slices import axis_refusal


def _build(emit: GraphBuilder, node: Any) -> Value:
    x, axis = node.inputs[0], node.attrs["axis"]
    constant = constant_ints(node.inputs[1])
    if constant == [0] or known(x, axis) == 0:
        return x
    length = emit.dim(x, axis)
    shift = emit.floormod(node.inputs[1] if constant is None else constant[0], length)
    if isinstance(shift, int) and shift == 0:
        return x
    cut = emit.sub(length, shift)
    tail = emit.slice(x, [cut], [TO_END], [axis])
    head = emit.slice(x, [0], [cut], [axis])
    return emit.concat([tail, head], axis=axis)


LOWERING = Lowering("roll_slices", "Roll", axis_refusal, lambda node: 2.0 + LAUNCH * 3, _build)
