"""A softmax over more than 2048 keys or an unknown number of keys stays FP32.

    Softmax, LogSoftmax, ReduceLogSumExp along an axis of N > 2048;  Exp -> ReduceSum over N > 2048 -> Div

Effect: an FP16 normaliser approaches the number of keys. It counts exactly to 2048, can stop growing there, and ends at
65504 (a map of 256x256 keys has 65,536). Emulation on a CPU cannot show it, because it is inside a kernel.
"""

from onnx import NodeProto

from ..graph import GraphIndex, attribute
from ..halves import HalfType
from ..walk import reduced_elements
from .rule import Matches, PrecisionRule
from .softmax import spelled

_REDUCING = frozenset({"ReduceLogSum", "ReduceLogSumExp"})
_ALONG_AXIS = frozenset({"LogSoftmax", "Softmax"})


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield softmax operators over many keys, and the nodes of written-out softmaxes with such a sum."""
    for node in index.nodes:
        if node.op_type in _ALONG_AXIS:
            reason = _reason(_keys(index, node), half)
        elif node.op_type in _REDUCING:
            reason = _reason(reduced_elements(index, node), half)
        else:
            continue
        if reason:
            yield node, reason
    for nodes in spelled(index):
        terms = [reduced_elements(index, node) for node in nodes if node.op_type == "ReduceSum"]
        for reason in filter(None, (_reason(count, half) for count in terms)):
            yield from ((node, reason) for node in nodes)


def _keys(index: GraphIndex, node: NodeProto) -> int | None:
    shape = index.shapes.get(node.input[0])
    axis = attribute(node, "axis", -1)
    if not shape or not isinstance(axis, int):
        return None
    size = shape[axis]
    return size if isinstance(size, int) else None


def _reason(keys: int | None, half: HalfType) -> str:
    long = half.counts_to
    if keys is None:
        return f"a softmax over a number of keys that is not known; beyond {long} a normaliser in {half.title} stops growing"
    return (
        f"a softmax over {keys} keys; beyond {long} a normaliser in {half.title} stops growing" if keys > long else ""
    )


RULE = PrecisionRule("long_softmax", "hazard", find)
