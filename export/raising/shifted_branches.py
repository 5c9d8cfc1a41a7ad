"""The same arithmetic at every tap of a window, joined by a Concat: the window operator, and the arithmetic once.

    cat([(q * kp[:, :, i:i+H, j:j+W]).sum(1, keepdim=True) for i, j], 1)  ->  ReduceSum(q[:, :, None] * windows(kp), 1)

Branches are the same operators on the same tensors, but for the tap that they slice, or look up along an axis of another tensor, and for
constants. Each value is computed as before; the branches only lie beside each other in one tensor.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from . import joins
from .rule import Raise


def match(node: Any) -> Raise | str | None:
    """``node`` is the Concat. None where its inputs are not alike; a reason where they are, and their taps make no window."""
    if node.op != "Concat":
        return None
    joined = joins.find(tuple(node.inputs))
    if not isinstance(joined, joins.Joined):
        return joined
    return Raise(node, joined.ops, partial(joins.concat, node=node, joined=joined)) if joined.computes else None
