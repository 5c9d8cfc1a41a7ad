"""Errors by module: what comes in with which error, and with which it goes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx
import onnx.shape_inference
from onnx import TensorProto

from ...runtime.bundle.divergence import ModuleDivergence, TensorError
from ..graph.origin import Origin
from ..graph.skeleton import skeleton
from ..verify.blame import RETYPING
from ..verify.graphs import Flow
from ..verify.trail import Trail
from .sweep import Compared

_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16", TensorProto.DOUBLE: "fp64",
    TensorProto.INT8: "int8", TensorProto.UINT8: "uint8", TensorProto.FLOAT8E4M3FN: "fp8",
}  # fmt: skip
_EIGHT = {"int8", "uint8", "fp8"}
_NOWHERE = Origin("", "", "")


class Types:
    """What the nodes of a stage's graph compute in."""

    def __init__(self, model: onnx.ModelProto, typed: bool) -> None:
        """``model``: large weights may be in files. A model that is not ``typed`` is FP32 throughout."""
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._types: dict[str, int] = {}
        if typed:
            # Not strict: a type that stays unknown is a gap in a table.
            graph = onnx.shape_inference.infer_shapes(skeleton(model)).graph
            for value in (*graph.input, *graph.output, *graph.value_info):
                self._types[value.name] = value.type.tensor_type.elem_type
            self._types.update((tensor.name, tensor.data_type) for tensor in graph.initializer)

    def bfloat16(self) -> dict[str, int]:
        """The tensors of a type that NumPy does not have."""
        return {name: kind for name, kind in self._types.items() if kind == TensorProto.BFLOAT16}

    def of(self, tensor: str) -> str:
        """The type of a tensor, by its short name; that of the 8-bit data for a node that reads nothing else."""
        node = self._makers.get(tensor)
        if node is not None and node.op_type != "DequantizeLinear":
            makers = [self._makers.get(name) for name in node.input[:2]]
            if len(makers) == 2 and all(m is not None and m.op_type == "DequantizeLinear" for m in makers):
                held = {_TYPES.get(self._types.get(m.input[0], 0), "") for m in makers if m is not None} & _EIGHT
                return next(iter(sorted(held)), "int8")
        return _TYPES.get(self._types.get(tensor, TensorProto.UNDEFINED if self._types else TensorProto.FLOAT), "")


def tensor_rows(flow: Flow, compared: Mapping[str, Compared], trail: Trail, types: Types) -> tuple[TensorError, ...]:
    """One entry for each tensor that was compared, in the order of the graph."""
    rows = []
    for name, one in compared.items():
        node = flow.maker[name]
        origin = trail.origin(node.name) or _NOWHERE
        kind = types.of(name) if one.dtype.startswith("float") else one.dtype
        rows.append(
            TensorError(
                name, node.name, node.op_type, origin.module, origin.kind, origin.source, one.shape, kind,
                one.figures.relative, one.figures.max_abs, one.reference_rms,
            )
        )  # fmt: skip
    return tuple(rows)


def module_rows(
    model: onnx.ModelProto, flow: Flow, compared: Mapping[str, Compared], trail: Trail, types: Types
) -> tuple[ModuleDivergence, ...]:
    """One entry for each module with nodes of its own, in the order in which they are first computed."""
    graph = model.graph
    homes = _homes(graph, flow, trail)
    home = {name: origin.module for name, origin in homes.items()}
    first: dict[str, Origin] = {}
    nodes: dict[str, list[onnx.NodeProto]] = {}
    # A weight's pair stands at the start of the graph, wherever it is read.
    for node in sorted(graph.node, key=lambda node: node.op_type in RETYPING):
        first.setdefault(home[node.name], homes[node.name])
        nodes.setdefault(home[node.name], []).append(node)
    exact = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    readers: dict[str, set[str]] = {value.name: {""} for value in graph.output}
    for node in graph.node:
        for name in flow.sources(node.output[0]):
            readers.setdefault(name, set()).add(home[node.name])
    ends = {value.name for value in graph.output}
    seen = {**{name: one.error for name, one in compared.items()}, **dict.fromkeys(exact, 0.0)}
    rows = []
    for module, own in nodes.items():
        made = {name for node in own for name in node.output if name}
        read = {name for node in own for name in flow.sources(node.output[0])} - made
        crossing = [name for name in made if name in ends or readers.get(name, set()) - {module}]
        entering = [error for name in read if (error := _error(flow, seen, name)) is not None]
        leaving = [error for name in crossing if (error := _error(flow, seen, name)) is not None]
        computed = sorted({kind for name in made if (kind := types.of(name))} or {"fp32"})
        rows.append(
            ModuleDivergence(
                module, first[module].kind, first[module].source, len(own), len(made & set(compared)),
                _largest(entering), _largest(leaving), "+".join(computed),
            )
        )  # fmt: skip
    return tuple(rows)


def _homes(graph: onnx.GraphProto, flow: Flow, trail: Trail) -> dict[str, Origin]:
    """The origin of each node by name; a pair around a tensor of 8 bits belongs to what makes the tensor, one of a weight to its reader."""
    homes: dict[str, Origin] = {}
    for node in graph.node:
        origin = trail.origin(node.name)
        maker = flow.maker.get(node.input[0]) if node.op_type in RETYPING else None
        if origin is None and maker is not None:
            origin = homes.get(maker.name)
        if origin is not None:
            homes[node.name] = origin
    for node in reversed(graph.node):
        for name in node.input:
            maker = flow.maker.get(name)
            if maker is not None and node.name in homes:
                homes.setdefault(maker.name, homes[node.name])
    return {node.name: homes.get(node.name, _NOWHERE) for node in graph.node}


def _error(flow: Flow, seen: Mapping[str, float], name: str) -> float | None:
    """A tensor's error, or that of the one that it is a copy of in another type."""
    while name not in seen:
        node = flow.maker.get(name)
        if node is None or node.op_type not in RETYPING:
            return None
        name = node.input[0]
    return seen[name]


def _largest(errors: Iterable[float]) -> float | None:
    return max(errors, default=None)
