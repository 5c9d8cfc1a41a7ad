"""Softmax stays FP32, as one operator or written out.

    Softmax, LogSoftmax, ReduceLogSumExp
    m = ReduceMax(x);  e = Exp(Sub(x, m));  y = Div(e, ReduceSum(e))    with unrolled sums and weights

Effect: exponentials span more powers of two than FP16 has. With few keys, the operator is accurate in FP16 if its scores
are (on ViT, FP32 softmaxes gained nothing), so a measurement may overrule this rule; ``long_softmax`` handles the others.
An Exp without a sum that divides is not a softmax and may be FP16.
"""

from collections.abc import Iterator

from onnx import NodeProto

from ..graph import GraphIndex
from ..halves import HalfType
from ..walk import is_denominator, maker, traced_back, users
from .rule import Matches, PrecisionRule

_WHOLE = frozenset({"LogSoftmax", "ReduceLogSum", "ReduceLogSumExp", "Softmax"})
_MAXIMA = frozenset({"Max", "ReduceMax"})
_SUMMING = frozenset({"Add", "Clip", "Max", "Mul", "ReduceSum", "Sum"})
_ENDS = frozenset({"Log", "Reciprocal"})

_REASON = "the exponentials of a softmax and their sum need more range and digits than {half.title} has"


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield softmax operators, and the nodes of written-out ones."""
    reason = _REASON.format(half=half)
    for node in index.nodes:
        if node.op_type in _WHOLE:
            yield node, reason
    for nodes in spelled(index):
        yield from ((node, reason) for node in nodes)


def spelled(index: GraphIndex) -> Iterator[list[NodeProto]]:
    """Yield the nodes of each written-out softmax, from the maximum to the division."""
    for node in index.nodes:
        if node.op_type == "Exp" and (path := _normaliser(index, node)):
            yield [node, *path, *_shift(index, node)]


def _normaliser(index: GraphIndex, exp: NodeProto) -> list[NodeProto]:
    """The nodes from an Exp to the division by its sum; empty if nothing divides by the sum."""
    came_from: dict[str, NodeProto] = {}
    summed = {exp.name: False}
    pending, found = [exp], []
    while pending:
        node = pending.pop(0)
        for user, tensor in users(index, node):
            if (is_denominator(user, tensor) or user.op_type in _ENDS) and summed[node.name]:
                found += [node, user]
                if user.op_type == "Reciprocal":
                    found += [scaled for scaled, _ in users(index, user) if scaled.op_type == "Mul"]
            elif user.op_type in _SUMMING and user.name not in summed:
                summed[user.name] = summed[node.name] or user.op_type in ("Add", "ReduceSum", "Sum")
                came_from[user.name] = node
                pending.append(user)
    return traced_back(found, came_from)


def _shift(index: GraphIndex, exp: NodeProto) -> Iterator[NodeProto]:
    """The subtraction of the maximum before an Exp, and the maximum."""
    shift = maker(index, exp.input[0])
    if shift is None or shift.op_type != "Sub":
        return
    yield shift
    pending = [shift.input[1]]
    while pending:
        node = maker(index, pending.pop())
        if node is not None and node.op_type in _MAXIMA:
            yield node
            pending += index.single_inputs(node)


RULE = PrecisionRule("softmax", "caution", find)
