"""Small edits of nodes for the cast inserter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper

from .constants import to_half
from .graph import GraphIndex, captured, subgraphs
from .halves import HalfType


def rename_captures(node: NodeProto, names: Mapping[str, str]) -> None:
    """Rename outer tensors in the bodies of a node. ONNX forbids shadowing, so an outer name is unique."""
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


def retyped(node: NodeProto, half: HalfType) -> NodeProto:
    """Change a Cast or ConstantOfShape from float32 to 16-bit data, and return it."""
    if node.op_type == "Cast":
        for entry in node.attribute:
            if entry.name == "to":
                entry.i = half.elem
        return node
    values = [numpy_helper.to_array(entry.t) for entry in node.attribute if entry.name == "value"]
    array = to_half(values[0], half=half).array if values else np.zeros(1, half.dtype)
    del node.attribute[:]
    node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(array)))
    return node


def without_dead_casts(nodes: Sequence[NodeProto], index: GraphIndex) -> list[NodeProto]:
    """Return the nodes without casts whose last reader now reads their source."""
    used = set(index.outputs)
    for node in nodes:
        used.update((*node.input, *captured(node)))
    kept = []
    for node in nodes:
        lost = node.op_type == "Cast" and node.output[0] not in used and bool(index.consumers(node.output[0]))
        if not lost:
            kept.append(node)
    return kept
