"""Small edits on nodes that the cast inserter makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from .constants import to_half
from .graph import GraphIndex, captured, subgraphs


def rename_captures(node: NodeProto, names: Mapping[str, str]) -> None:
    """Rename outer tensors inside the bodies of a node. ONNX forbids shadowing, so an outer name means one thing."""
    changed = {old: new for old, new in names.items() if old != new}
    if not changed:
        return

    def visit(graph: GraphProto) -> None:
        for child in graph.node:
            for position, name in enumerate(child.input):
                child.input[position] = changed.get(name, name)
            for body in subgraphs(child):
                visit(body)
        for value in graph.output:
            value.name = changed.get(value.name, value.name)

    for body in subgraphs(node):
        visit(body)


def retyped(node: NodeProto) -> NodeProto:
    """A Cast or ConstantOfShape that makes float32 data, making FP16 data instead."""
    if node.op_type == "Cast":
        for entry in node.attribute:
            if entry.name == "to":
                entry.i = TensorProto.FLOAT16
        return node
    values = [numpy_helper.to_array(entry.t) for entry in node.attribute if entry.name == "value"]
    half = to_half(values[0]).array if values else None
    del node.attribute[:]
    tensor = (
        numpy_helper.from_array(half) if half is not None else helper.make_tensor("", TensorProto.FLOAT16, [1], [0.0])
    )
    node.attribute.append(helper.make_attribute("value", tensor))
    return node


def without_dead_casts(nodes: Sequence[NodeProto], index: GraphIndex) -> list[NodeProto]:
    """The nodes without the casts that lost their last reader because it now reads their source."""
    used = set(index.outputs)
    for node in nodes:
        used.update((*node.input, *captured(node)))
    kept = []
    for node in nodes:
        lost = node.op_type == "Cast" and node.output[0] not in used and bool(index.consumers(node.output[0]))
        if not lost:
            kept.append(node)
    return kept
