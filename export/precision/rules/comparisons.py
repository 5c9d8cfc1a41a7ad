"""A comparison of a tensor with a choice of its own values stays FP32, with the nodes that choose.

    s == MaxPool(s)        local maximums: key points, non-maximum suppression by pooling
    s >= ReduceMax(s)      the best of a row, as a mask

Effect: an exact comparison needs both operands from the same rounding. If the softmax that makes s stays FP32 and the
pool computes in FP16, the pooled value is a rounded one, and no place equals it: all key points vanish.
Choosing commutes with rounding, so the nodes lose nothing in FP32: both operands have the rounding of s.
"""

from onnx import NodeProto

from ..graph import GraphIndex
from ..halves import HalfType
from ..operators import moves_data
from .rule import Matches, PrecisionRule

_COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_CHOOSE = frozenset({"GlobalMaxPool", "Max", "MaxPool", "Min", "ReduceMax", "ReduceMin", "TopK"})


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield comparisons of a tensor with a choice of its values, and the nodes that choose."""
    for node in index.nodes:
        if node.op_type not in _COMPARISONS or len(index.single_inputs(node)) != 2:
            continue
        left, right = (_chosen(index, name) for name in node.input)
        if not (left.keys() & right.keys()) or not (choosing := {**_makers(left), **_makers(right)}):
            continue
        reason = "it compares values with a choice among them, and both need the same rounding"
        yield node, reason
        for maker in choosing.values():
            yield maker, f"it chooses the values that {node.name!r} compares, and both need the same rounding"


def _chosen(index: GraphIndex, tensor: str) -> dict[str, list[NodeProto]]:
    """The tensors whose values ``tensor`` may hold, each with the choosing nodes between them."""
    ways: dict[str, list[NodeProto]] = {tensor: []}
    pending = [tensor]
    while pending:
        name = pending.pop(0)
        node = index.producer(name)
        if node is None or not (node.op_type in _CHOOSE or moves_data(node)):
            continue
        for source in index.single_inputs(node):
            if source not in ways:
                ways[source] = [*ways[name], *([node] if node.op_type in _CHOOSE else [])]
                pending.append(source)
    return ways


def _makers(ways: dict[str, list[NodeProto]]) -> dict[str, NodeProto]:
    return {node.name: node for nodes in ways.values() for node in nodes}


RULE = PrecisionRule("comparisons", "hazard", find)
