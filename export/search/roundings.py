"""The places where an FP16 model rounds, and the nodes that must all be FP32 to remove each rounding.

    out(p)      the output of p is rounded            removed if p and all nodes that compute on it are FP32
    weight(j)   the constants of j are rounded        removed if j is FP32
    in(j)       FP32 data is rounded before j         removed if j is FP32

Data movement passes noise on and adds none. Operators that select among their inputs (Relu, MaxPool) add none either:
their inputs are rounded already. So they cause no rounding, but they are among the nodes that compute on the previous output.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from onnx import NodeProto

from ..precision.graph import GraphIndex
from ..precision.operators import moves_data
from ..precision.types import Role, Typing
from ..precision.walk import users
from ..precision.weights import stays

CHOOSING = frozenset({"Abs", "GlobalMaxPool", "Max", "MaxPool", "Min", "Neg", "ReduceMax", "ReduceMin", "Relu"})
"""Operators whose results are input values, zero, or an input value with another sign."""


@dataclass(frozen=True)
class Rounding:
    """One rounding at ``node``, of ``kind`` out, weight or in. It is removed if all nodes in ``needs`` are FP32."""

    node: str
    kind: str
    needs: frozenset[str]

    @property
    def key(self) -> str:
        """Its key in a cache."""
        return f"{self.kind}:{self.node}"


def roundings_of(index: GraphIndex, fixed: Collection[str]) -> list[Rounding]:
    """Return each rounding of the model whose nodes compute in FP16 except the ``fixed`` ones, in graph order."""
    typing = Typing(index, frozenset(fixed), True)
    switched = {node.name for node in index.nodes if typing.roles[node.name] is Role.HALF}
    return [
        rounding for node in index.nodes if node.name in switched for rounding in _of(index, typing, node, switched)
    ]


def _of(index: GraphIndex, typing: Typing, node: NodeProto, switched: set[str]) -> Iterator[Rounding]:
    slots = typing.slots[node.name]
    stores = any(index.is_single(name) and slots.output_half(i) for i, name in enumerate(node.output))
    if stores and not _only_chooses(index, node, switched):
        yield Rounding(node.name, "out", frozenset({node.name, *_readers(index, node, switched)}))
    alone = frozenset({node.name})
    weights = [n for i, n in enumerate(node.input) if n in index.constants and slots.input_half(i)]
    if any(index.is_single(name) and not stays(index, name) for name in weights):
        yield Rounding(node.name, "weight", alone)
    reads = [n for i, n in enumerate(node.input) if n not in index.constants and slots.input_half(i)]
    if any(index.is_single(name) and _comes_in_single(index, name, switched) for name in reads):
        yield Rounding(node.name, "in", alone)


def _only_chooses(index: GraphIndex, node: NodeProto, switched: set[str]) -> bool:
    """Whether the node selects among operands that previous nodes have rounded."""
    if node.op_type not in CHOOSING:
        return False
    return not any(_comes_in_single(index, name, switched) for name in index.single_inputs(node))


def _readers(index: GraphIndex, node: NodeProto, switched: set[str]) -> set[str]:
    """The switched nodes that compute on a node's output, directly or behind nodes that only select."""
    readers: set[str] = set()
    pending = [node]
    while pending:
        for user, _ in users(index, pending.pop()):
            if user.name not in switched or user.name in readers:
                continue
            readers.add(user.name)
            if user.op_type in CHOOSING:
                pending.append(user)
    return readers


def _comes_in_single(index: GraphIndex, tensor: str, switched: set[str]) -> bool:
    """Whether a tensor comes, through data movement, from an input, a constant or an FP32 node."""
    pending, seen = [tensor], {tensor}
    while pending:
        name = pending.pop()
        producer = index.producer(name)
        if producer is not None and producer.name in switched:
            continue
        moved = index.single_inputs(producer) if producer is not None and moves_data(producer) else []
        if not moved:
            return True
        fresh = [name for name in moved if name not in seen]
        seen.update(fresh)
        pending += fresh
    return False
