"""If, Loop and Scan stay FP32 as a whole, and so do operators that ONNX defines for float32 alone.

    If(c) { body }   ->  unchanged, with casts before and behind it

Types inside a body are tied to the state that a loop carries and to the other branch; nothing in an attention model
is worth untangling them.
"""

from __future__ import annotations

from ..graph import GraphIndex, subgraphs
from ..halves import HalfType
from ..operators import Slots
from .rule import Matches, PrecisionRule


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield the float32 nodes that have bodies or no 16-bit form."""
    for node in index.nodes:
        if any(True for _ in subgraphs(node)):
            yield node, f"the bodies of {node.op_type} stay FP32 as a whole"
        elif not Slots(index, node, half).any_half:
            yield node, f"{node.op_type} has no {half.title} form"


RULE = PrecisionRule("bodies", "hazard", find)
