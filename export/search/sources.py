"""Where FP16 noise enters a model, and which nodes must be FP32 together for it not to.

    out(p)      what p makes is rounded      gone when p and every node that computes on it are FP32
    weight(j)   the constants of j are       gone when j is FP32
    in(j)       FP32 data is, for j to read  gone when j is FP32

Data movement hands noise on and adds none. Nor do operators that choose among their inputs (Relu, MaxPool): what they
choose is rounded already. So they are nobody's cause, and stand among those that compute on what came before them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from onnx import NodeProto

from ..precision.graph import GraphIndex
from ..precision.operators import moves_data
from ..precision.types import Role, Typing
from ..precision.walk import users
from .constants import stays

CHOOSING = frozenset({"Abs", "GlobalMaxPool", "Max", "MaxPool", "Min", "Neg", "ReduceMax", "ReduceMin", "Relu"})
"""Operators whose results are values that they read, zero or a sign apart."""


@dataclass(frozen=True)
class Source:
    """One rounding: at ``node``, of ``kind`` out, weight or in; it is gone when all of ``needs`` are FP32."""

    node: str
    kind: str
    needs: frozenset[str]

    @property
    def key(self) -> str:
        """Its name in a cache."""
        return f"{self.kind}:{self.node}"


def noise_sources(index: GraphIndex, fixed: Collection[str]) -> list[Source]:
    """Every rounding of the model in which all but the ``fixed`` nodes compute in FP16, in graph order."""
    typing = Typing(index, frozenset(fixed), True)
    switched = {node.name for node in index.nodes if typing.roles[node.name] is Role.HALF}
    return [source for node in index.nodes if node.name in switched for source in _of(index, typing, node, switched)]


def _of(index: GraphIndex, typing: Typing, node: NodeProto, switched: set[str]) -> Iterator[Source]:
    slots = typing.slots[node.name]
    stores = any(index.is_single(name) and slots.output_half(i) for i, name in enumerate(node.output))
    if stores and not _only_chooses(index, node, switched):
        yield Source(node.name, "out", frozenset({node.name, *_readers(index, node, switched)}))
    alone = frozenset({node.name})
    weights = [n for i, n in enumerate(node.input) if n in index.constants and slots.input_half(i)]
    if any(index.is_single(name) and not stays(index, name) for name in weights):
        yield Source(node.name, "weight", alone)
    reads = [n for i, n in enumerate(node.input) if n not in index.constants and slots.input_half(i)]
    if any(index.is_single(name) and _comes_in_single(index, name, switched) for name in reads):
        yield Source(node.name, "in", alone)


def _only_chooses(index: GraphIndex, node: NodeProto, switched: set[str]) -> bool:
    """Whether what a node makes was rounded before it, by the nodes that made its operands."""
    if node.op_type not in CHOOSING:
        return False
    return not any(_comes_in_single(index, name, switched) for name in index.single_inputs(node))


def _readers(index: GraphIndex, node: NodeProto, switched: set[str]) -> set[str]:
    """The switched nodes that compute on what a node makes, and those behind any that only chooses."""
    found: set[str] = set()
    pending = [node]
    while pending:
        for user, _ in users(index, pending.pop()):
            if user.name not in switched or user.name in found:
                continue
            found.add(user.name)
            if user.op_type in CHOOSING:
                pending.append(user)
    return found


def _comes_in_single(index: GraphIndex, tensor: str, switched: set[str]) -> bool:
    """Whether a tensor holds, behind data movement, what no switched node made: an input, a constant, an FP32 result."""
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
