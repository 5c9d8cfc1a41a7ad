"""Masks: constants that are added to scores, or chosen in their place, to take positions out of a softmax.

A mask is partial where it is a constant tensor that leaves a value of common size in every row of its last axis: no
row can then be masked in full, and any large negative number in its place does the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import NodeProto

from .graph import GraphIndex
from .halves import FP16, HalfType
from .operators import moves_data
from .walk import users

MASKING = frozenset({"Add", "Sub", "Where"})
_CARRY = frozenset({"Add", "Div", "Max", "Min", "Mul", "Neg", "Sub", "Sum"})


def is_partial(index: GraphIndex, node: NodeProto, name: str, half: HalfType = FP16) -> bool:
    """Whether a constant that a node reads is a partial mask, beyond a 16-bit type's range where it hides."""
    if node.op_type not in ("Add", "Where"):
        return False
    array = index.value(name)
    if array is None or array.ndim == 0 or array.size < 2:
        return False
    hidden = array <= -half.overflow_from
    return bool(hidden.any() and (np.abs(array[~hidden]) < half.overflow_from).all() and not hidden.all(axis=-1).any())


def only_masks(index: GraphIndex, name: str) -> bool:
    """Whether a constant is only ever a mask."""
    readers = index.consumers(name)
    return bool(readers) and all(node.op_type in MASKING for node in readers)


def carriers(index: GraphIndex, start: NodeProto) -> Iterator[NodeProto]:
    """The elementwise operators on a masked tensor; a matrix product with large weights is no mask."""
    if start.op_type not in _CARRY and not moves_data(start):
        return
    pending, seen = [start], {start.name}
    while pending:
        for user, _ in users(index, pending.pop(0)):
            if user.op_type in _CARRY and user.name not in seen:
                seen.add(user.name)
                pending.append(user)
                yield user
