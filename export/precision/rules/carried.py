"""The update of a state that a Loop or Scan carries stays FP32, from the old state to the new one.

    c' = Add(Mul(f, c), Mul(i, g))      Mul(f, c) and Add stay FP32; f, i and g, which layers compute, do not
    s' = Add(s, MatMul(x, W))           Add stays FP32; MatMul does not

A path leads from the body's input to its output through elementwise operators, sums, data movement and nodes with bodies
(which stay FP32 as a whole); a layer ends it. The border of a body is FP32, so the state itself is never rounded between
two steps.

Effect: 2048 + 1 = 2048 in FP16: a state that changes by less than half a digit per step never changes, and the rounding
errors of all steps add up (``recurrent`` has the same reason).
"""

from collections.abc import Callable, Iterable

from onnx import NodeProto

from ..graph import GraphIndex, captured
from ..halves import HalfType
from ..operators import ELEMENTWISE, moves_data
from ..walk import SUMS
from .rule import Matches, PrecisionRule


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield the nodes on the paths from a carried state to its next value."""
    for old, new in index.enclosing.states:
        if not index.is_single(old):
            continue
        later = _reached(index, old, index.consumers, lambda node: node.output)
        makers = _reached(index, new, lambda name: _producers(index, name), lambda n: (*n.input, *captured(n)))
        for node in index.nodes:
            if node.name in later and node.name in makers:
                yield node, f"it updates state {old!r} of a loop, and {half.title} rounding adds up over the steps"


def _producers(index: GraphIndex, name: str) -> list[NodeProto]:
    producer = index.producer(name)
    return [] if producer is None else [producer]


def _reached(
    index: GraphIndex,
    start: str,
    nodes_at: Callable[[str], list[NodeProto]],
    beyond: Callable[[NodeProto], Iterable[str]],
) -> set[str]:
    """The nodes that a walk from a tensor reaches, as far as it leads."""
    pending, seen = [start], set[str]()
    while pending:
        for node in nodes_at(pending.pop()):
            through = (
                node.op_type in ELEMENTWISE or node.op_type in SUMS or node.name in index.bodies or moves_data(node)
            )
            if through and node.name not in seen:
                seen.add(node.name)
                pending += [name for name in beyond(node) if name]
    return seen


RULE = PrecisionRule("carried", "hazard", find)
