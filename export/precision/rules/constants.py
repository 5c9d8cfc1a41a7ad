"""Constants that FP16 cannot hold keep their node in FP32, with the nodes that depend on them.

    Add(scores, -1e9)  ->  Softmax          in FP16 it is -inf: a fully masked row becomes NaN
    Div(x, Clip(norm, min=1e-12))           in FP16 it is 0: a row of zeros becomes 0 / 0

A constant is too large if a finite value exceeds 65504 (``infinities`` and ``partial_masks`` handle masks that are wrong
for some data only). It is too small if its largest value is below FP16's normal range, 6.1e-5. A Clip bound beyond the
range has no effect and is ignored, as is a small vector that is only added (a bias: it changes nothing next to data in
the normal range). A mask is followed forward through data movement and elementwise operators; an epsilon, until the
division that it protects.
"""

import numpy as np
from onnx import NodeProto

from ..graph import GraphIndex
from ..halves import Extent, HalfType, extent
from ..masks import carriers, is_partial
from ..walk import is_denominator, users
from .rule import Matches, PrecisionRule

_CARRY_EPSILON = frozenset({"Abs", "Max", "Neg", "Pow", "Reciprocal", "Sqrt"})
_GUARDED = frozenset({"Log", "Pow", "Reciprocal", "Sqrt"})


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield nodes with a constant that the type cannot hold, and the nodes that need its exact value."""
    extents: dict[str, Extent] = {}
    for node in index.nodes:
        for name in node.input:
            if name not in index.constants or not index.is_single(name) or _is_parameter(node, name):
                continue
            if name not in extents:
                array = index.value(name)
                assert array is not None
                extents[name] = extent(array)
            yield from _judge(index, node, name, extents[name], half)


def _is_parameter(node: NodeProto, name: str) -> bool:
    """Whether a constant is a size or scale, which stays float32 in any case."""
    return node.op_type == "Resize" and node.input[0] != name


def _is_bias(index: GraphIndex, node: NodeProto, name: str) -> bool:
    """Whether a constant is a vector that is only added; a single number may be an epsilon."""
    if node.op_type in ("Add", "Sub"):
        return int(np.prod(index.constants[name].dims)) > 1
    positions = {"BatchNormalization": (2, 3), "Conv": (2,), "ConvTranspose": (2,), "Gemm": (2,)}.get(node.op_type, ())
    return any(position < len(node.input) and node.input[position] == name for position in positions)


def _judge(index: GraphIndex, node: NodeProto, name: str, size: Extent, half: HalfType) -> Matches:
    bound = node.op_type == "Clip" and name != node.input[0]
    if size.overflows(half) and not bound and not is_partial(index, node, name, half):
        yield node, f"constant {name!r} reaches {size.largest:.4g}; {half.title} ends at {half.largest:.5g}"
        for user in carriers(index, node):
            yield user, f"it carries the large values that constant {name!r} brings in"
    elif size.loses_digits(half) and not _is_bias(index, node, name):
        yield (
            node,
            f"constant {name!r} is at most {size.largest:.4g}; {half.title} loses digits below {half.smallest_normal:.2g} and "
            f"ends at {half.smallest:.1g}",
        )
        yield from _epsilon(index, node, name, half)


def _epsilon(index: GraphIndex, start: NodeProto, name: str, half: HalfType) -> Matches:
    """The nodes from an epsilon to the division, logarithm or power that it protects."""
    reason = f"it depends on constant {name!r}, which guards a division, a root or a logarithm and would vanish in {half.title}"
    pending, seen = [start], {start.name}
    while pending:
        node = pending.pop(0)
        for user, tensor in users(index, node):
            divides = is_denominator(user, tensor)
            scales = user.op_type == "Mul" and node.op_type in ("Reciprocal", "Pow")
            if user.name in seen or not (divides or scales or user.op_type in _CARRY_EPSILON | _GUARDED):
                continue
            seen.add(user.name)
            yield user, reason
            if user.op_type in _CARRY_EPSILON:
                pending.append(user)


RULE = PrecisionRule("constants", "hazard", find, masks=True)
