"""If, Loop and Scan stay FP32 as a whole, as do operators that ONNX defines for float32 only.

    If(c) { body }   ->  unchanged, with casts before and after it

The types in a body depend on the state that a loop carries and on the other branch. In an attention model, converting
them is not worth the effort.
"""

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
