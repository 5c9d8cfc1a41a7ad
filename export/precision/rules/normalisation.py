"""Normalisation statistics stay FP32, as one operator or written out, up to the division by them.

    LayerNormalization, InstanceNormalization, GroupNormalization, RMSNormalization, ReduceL2 …
    m = ReduceMean(x);  d = Sub(x, m);  v = ReduceMean(Mul(d, d));  y = Div(d, Sqrt(Add(v, eps)))

Effect: the square of an activation of 256 exceeds FP16, so the variance is inf and the output zero or NaN.
BatchNormalization at inference has stored statistics and may be FP16 (compared with FP64 under emulation, its error is
that of one FP16 multiplication and addition); capture usually folds it into a convolution.
"""

from collections.abc import Iterator

from onnx import NodeProto

from ..graph import GraphIndex, words
from ..halves import HalfType
from ..walk import is_denominator, is_square, maker, traced_back, users
from .rule import Matches, PrecisionRule

_WHOLE = words(
    "GlobalLpPool GroupNormalization InstanceNormalization LayerNormalization LpNormalization LpPool "
    "MeanVarianceNormalization RMSNormalization ReduceL2 ReduceSumSquare SimplifiedLayerNormalization "
    "SkipLayerNormalization"
)
_NORMS = frozenset({"ReduceL2", "ReduceSumSquare"})
_AVERAGES = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum"})
_CARRY = frozenset({"Add", "Clip", "Max", "Mul", "Pow", "Reciprocal", "Sqrt", "Sub"})

_STATISTICS = {
    "fp16": "normalisation statistics: the square of an activation of 256 is beyond FP16's range",
    "bf16": "normalisation statistics: a variance is a small difference, and BF16 has two to three digits",
}


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield normalisation operators, and the statistics of written-out ones up to the division."""
    reason = _STATISTICS[half.name]
    for node in index.nodes:
        if node.op_type in _WHOLE:
            yield node, reason
        square = maker(index, node.input[0]) if node.op_type in _AVERAGES else None
        if square is not None and is_square(index, square):
            yield node, reason
            yield square, reason
            for member in _centring(index, square):
                yield member, reason
        elif node.op_type not in _NORMS:
            continue
        for member in _to_division(index, node):
            yield member, reason
            for other in _squared_mean(index, member):
                yield other, reason


def _centring(index: GraphIndex, square: NodeProto) -> Iterator[NodeProto]:
    """The subtraction of a mean before a square, and the mean."""
    shift = maker(index, square.input[0])
    if shift is None or shift.op_type != "Sub":
        return
    mean = maker(index, shift.input[1])
    if mean is not None and mean.op_type in _AVERAGES:
        yield shift
        yield mean


def _squared_mean(index: GraphIndex, member: NodeProto) -> Iterator[NodeProto]:
    """In ``mean(x * x) - mean(x) ** 2`` the second square and its mean: the difference cancels most digits."""
    if member.op_type != "Sub":
        return
    for name in member.input:
        square = maker(index, name)
        if square is not None and is_square(index, square):
            yield square
            mean = maker(index, square.input[0])
            if mean is not None and mean.op_type in _AVERAGES:
                yield mean


def _to_division(index: GraphIndex, statistic: NodeProto) -> list[NodeProto]:
    """The nodes from a variance to the division by its root; empty if nothing divides by it."""
    came_from: dict[str, NodeProto] = {}
    pending, ends = [statistic], []
    seen = {statistic.name}
    while pending:
        node = pending.pop(0)
        for user, tensor in users(index, node):
            inverse = user.op_type == "Mul" and _is_inverse(index, node)
            if is_denominator(user, tensor) or inverse:
                ends += [node, user]
            elif user.name not in seen and (user.op_type in _CARRY or _divides_by_constant(index, user)):
                seen.add(user.name)
                came_from[user.name] = node
                pending.append(user)
    return traced_back(ends, came_from)


def _is_inverse(index: GraphIndex, node: NodeProto) -> bool:
    if node.op_type == "Reciprocal":
        return True
    exponent = index.value(node.input[1]) if node.op_type == "Pow" else None
    return exponent is not None and bool((exponent < 0).all())


def _divides_by_constant(index: GraphIndex, node: NodeProto) -> bool:
    return node.op_type == "Div" and node.input[1] in index.constants


RULE = PrecisionRule("normalisation", "caution", find)
