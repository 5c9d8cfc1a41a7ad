"""Operators that ONNX defines for float32 only stay FP32, as does an If, Loop or Scan with a type that is not known.

    Range(a, b, d)      ->  unchanged, with casts before and after it
    If(c) { body }      ->  the nodes of the body are converted as any other node; as a whole it stays FP32 only if shape
                            inference does not know the type of a tensor in it

Source: the type constraints in the ONNX schemas of opset 13 to 23.
"""

from ..graph import GraphIndex
from ..halves import HalfType
from ..operators import Slots
from .rule import Matches, PrecisionRule


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield the float32 nodes without a 16-bit form, and those with bodies that cannot be typed."""
    for node in index.nodes:
        bodies = index.bodies.get(node.name)
        if bodies is not None and not all(body.typed for body in bodies):
            yield node, f"a type in the bodies of {node.op_type} is not known, so they stay FP32 as a whole"
        elif bodies is None and not Slots(index, node, half).any_half:
            yield node, f"{node.op_type} has no {half.title} form"


RULE = PrecisionRule("bodies", "hazard", find)
