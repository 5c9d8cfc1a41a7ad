"""The same arithmetic at every tap of a window, joined by a Concat, becomes the window operator and the arithmetic once.

    cat([(q * kp[:, :, i:i+H, j:j+W]).sum(1, keepdim=True) for i, j], 1)  ->  ReduceSum(q[:, :, None] * windows(kp), 1)

Branches are the same operators on the same tensors, except for the tap that they slice, or look up along an axis of another
tensor, and for constants. Each value is computed as before; the branches only lie beside each other in one tensor.
"""

from typing import Any

from . import joins
from .rule import Match, RaisingRule


def find(node: Any) -> Match[joins.Joined] | str | None:
    """``node`` is the Concat."""
    joined = joins.find(tuple(node.inputs)) if node.op == "Concat" else None
    if not isinstance(joined, joins.Joined):
        return joined
    return Match(node, joined.ops, joined) if joined.computes else None


RULE = RaisingRule("shifted_branches", find, joins.concat)
