"""How many nodes of a typed model compute in each type, and the warning if none computes in 16 bits."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto

from .graph import GraphIndex
from .halves import HalfType
from .operators import moves_data
from .policy import Decision


@dataclass(frozen=True)
class Counts:
    """The numbers of nodes that compute in FP32, 16 bits and 8 bits, and of casts between FP32 and 16 bits."""

    fp32_nodes: int
    half_nodes: int
    casts: int
    quantised: int = 0


def count(model: ModelProto, kind: HalfType) -> Counts:
    """Count the nodes of a typed model, bodies included. A node that reads dequantised data and weights computes in 8 bits."""
    return _count(GraphIndex(model), kind)


def _count(index: GraphIndex, kind: HalfType) -> Counts:
    single = half = casts = quantised = 0
    for node in index.nodes:
        bodies = [_count(body, kind) for body in index.bodies.get(node.name, ())]
        if bodies:  # it computes nothing itself
            single += sum(body.fp32_nodes for body in bodies)
            half += sum(body.half_nodes for body in bodies)
            casts += sum(body.casts for body in bodies)
            quantised += sum(body.quantised for body in bodies)
            continue
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        makers = [index.producer(name) for name in node.input[:2]]
        if len(makers) == 2 and all(m is not None and m.op_type == "DequantizeLinear" for m in makers):
            quantised += 1
            continue
        types = {index.types.get(name) for name in (*node.input, *node.output)}
        if node.op_type == "Cast" and {TensorProto.FLOAT, kind.elem} <= types:
            casts += 1
        elif kind.elem in types:
            half += 1
        elif TensorProto.FLOAT in types:
            single += 1
    return Counts(fp32_nodes=single, half_nodes=half, casts=casts, quantised=quantised)


def without_half(model: ModelProto, index: GraphIndex, decisions: Sequence[Decision], kind: HalfType) -> Iterator[str]:
    """Yield a warning, with the most frequent reason, if no node of a typed model computes in its 16-bit type.

    ``index`` is of the float32 model that the ``decisions`` are about. A model without float32 data gets no warning.
    """
    total = count(model, kind).fp32_nodes
    if not total or _computes_in(GraphIndex(model), kind):
        return
    reasons: Counter[str] = Counter()
    nodes = {node.name: node for node in index.every_node()}
    inside = _inside(index)
    for decision in decisions:
        if decision.node in nodes:
            reasons[decision.reason] += max(1, inside.get(decision.node, 0))
    why = "its nodes only move data"
    if reasons:
        reason, number = reasons.most_common(1)[0]
        first = next(d.node for d in decisions if d.reason == reason)
        why = f"the first reason concerns {number} of them, from {first!r} on: {reason}"
    yield (
        f"the {kind.title} model has no node that computes in {kind.title}, so it is not faster than FP32: "
        f"{total} {'node stays' if total == 1 else 'nodes stay'} FP32; {why}"
    )


def _computes_in(index: GraphIndex, kind: HalfType) -> bool:
    def computes(node: NodeProto) -> bool:
        makes = any(index.types.get(name) == kind.elem for name in node.output)
        return makes and node.op_type != "Cast" and not moves_data(node)

    bodies = (body for inner in index.bodies.values() for body in inner)
    return any(computes(node) for node in index.nodes) or any(_computes_in(body, kind) for body in bodies)


def _inside(index: GraphIndex) -> dict[str, int]:
    """The number of nodes with float32 data in the bodies of each node that has bodies."""
    found: dict[str, int] = {}
    for name, bodies in index.bodies.items():
        for body in bodies:
            own = sum(body.touches_single(node) and node.name not in body.bodies for node in body.nodes)
            inner = _inside(body)
            found |= inner
            found[name] = found.get(name, 0) + own + sum(inner.get(deeper, 0) for deeper in body.bodies)
    return found
