"""Masks: constants that are added to scores, or replace them, to remove positions from a softmax.

A mask is partial if it is a constant tensor that leaves a value of normal size in each row of its last axis: no row is
masked completely, so any large negative number has the same effect.
"""

from collections.abc import Iterator

import numpy as np
from onnx import NodeProto

from .graph import GraphIndex
from .halves import FP16, HalfType
from .operators import moves_data
from .walk import reached

MASKING = frozenset({"Add", "Sub", "Where"})
_CARRY = frozenset({"Add", "Div", "Max", "Min", "Mul", "Neg", "Sub", "Sum"})


def is_partial(index: GraphIndex, node: NodeProto, name: str, half: HalfType = FP16) -> bool:
    """Whether a node's constant is a partial mask whose masking values exceed the range of a 16-bit type."""
    if node.op_type not in ("Add", "Where"):
        return False
    array = index.value(name)
    if array is None or array.ndim == 0 or array.size < 2:
        return False
    hidden = array <= -half.overflow_from
    return bool(hidden.any() and (np.abs(array[~hidden]) < half.overflow_from).all() and not hidden.all(axis=-1).any())


def only_masks(index: GraphIndex, name: str) -> bool:
    """Whether a constant is used only as a mask."""
    readers = index.consumers(name)
    return bool(readers) and all(node.op_type in MASKING for node in readers)


def carriers(index: GraphIndex, start: NodeProto) -> Iterator[NodeProto]:
    """Yield the elementwise operators on a masked tensor; a matrix product with large weights is not a mask."""
    if start.op_type in _CARRY or moves_data(start):
        yield from reached(index, start, _CARRY)
