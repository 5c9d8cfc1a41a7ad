"""Read the names and types of the nodes of a bundle's ONNX files, without external weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

CASTS = ("/to_f16", "/to_f32", "/to_bf16")
"""Ends of the names of nodes that only change a type."""


@dataclass(frozen=True)
class NodeFact:
    """One node. ``precision``: float32, float16, bfloat16, int8, cast or other."""

    name: str
    op: str
    precision: str


def node_names(path: Path) -> list[str]:
    """Return the names of all nodes but casts, in graph order; empty if the file does not exist."""
    return [node.name for node in nodes(path) if node.precision != "cast"]


def nodes(path: Path) -> tuple[NodeFact, ...]:
    """Return the nodes of the main graph, in order; empty if the file does not exist."""
    if not path.is_file():
        return ()
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, _size: int) -> tuple[NodeFact, ...]:
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    kinds = {
        onnx.TensorProto.FLOAT: "float32",
        onnx.TensorProto.FLOAT16: "float16",
        onnx.TensorProto.BFLOAT16: "bfloat16",
    }
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output, *graph.input)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    quantised = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    facts = []
    for node in graph.node:
        # Comparisons return booleans and compute in the type of their inputs.
        known = [kinds[t] for name in (*node.output, *node.input) if (t := types.get(name, 0)) in kinds]
        precision = known[0] if known else "other"
        if (node.op_type == "Cast" and node.name.endswith(CASTS)) or node.op_type in (
            "QuantizeLinear",
            "DequantizeLinear",
        ):
            precision = "cast"
        elif len(node.input) > 1 and all(name in quantised for name in node.input[:2]):
            precision = "int8"
        facts.append(NodeFact(node.name, node.op_type, precision))
    return tuple(facts)
