"""The error of the tensors that enter and leave each module."""

from collections.abc import Mapping

import onnx
import onnx.shape_inference
from onnx import TensorProto

from ...runtime.bundle.divergence import ModuleDivergence, TensorError
from ..graph.model import skeleton
from ..graph.origin import Origin
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
    """The types that the nodes of a stage's graph compute in."""

    def __init__(self, model: onnx.ModelProto, typed: bool) -> None:
        """``model``: large weights may be in files. A model that is not ``typed`` is FP32."""
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._types: dict[str, int] = {}
        if typed:
            # Not strict: an unknown type leaves only a gap in a table.
            graph = onnx.shape_inference.infer_shapes(skeleton(model)).graph
            for value in (*graph.input, *graph.output, *graph.value_info):
                self._types[value.name] = value.type.tensor_type.elem_type
            self._types.update((tensor.name, tensor.data_type) for tensor in graph.initializer)

    def bfloat16(self) -> dict[str, int]:
        """Return the BF16 tensors, a type that NumPy does not have."""
        return {name: kind for name, kind in self._types.items() if kind == TensorProto.BFLOAT16}

    def of(self, tensor: str) -> str:
        """Return the short name of a tensor's type; for a node that reads only 8-bit data, the type of that data."""
        node = self._makers.get(tensor)
        if node is not None and node.op_type != "DequantizeLinear":
            makers = [self._makers.get(name) for name in node.input[:2]]
            if len(makers) == 2 and all(m is not None and m.op_type == "DequantizeLinear" for m in makers):
                kinds = {_TYPES.get(self._types.get(m.input[0], 0), "") for m in makers if m is not None} & _EIGHT
                return next(iter(sorted(kinds)), "int8")
        return _TYPES.get(self._types.get(tensor, TensorProto.UNDEFINED if self._types else TensorProto.FLOAT), "")


def tensor_rows(flow: Flow, compared: Mapping[str, Compared], trail: Trail, types: Types) -> tuple[TensorError, ...]:
    """Return one entry for each compared tensor, in the order of the graph."""
    rows = []
    for name, tensor in compared.items():
        node = flow.maker[name]
        origin = trail.origin(node.name) or _NOWHERE
        kind = types.of(name) if tensor.dtype.startswith("float") else tensor.dtype
        rows.append(
            TensorError(
                name, node.name, node.op_type, origin.module, origin.kind, origin.source, tensor.shape, kind,
                tensor.figures.relative, tensor.figures.max_abs, tensor.reference_rms,
            )
        )  # fmt: skip
    return tuple(rows)


def module_rows(
    model: onnx.ModelProto, flow: Flow, compared: Mapping[str, Compared], trail: Trail, types: Types
) -> tuple[ModuleDivergence, ...]:
    """Return one entry for each module that has nodes, in the order in which it is first computed."""
    graph = model.graph
    homes = _homes(graph, flow, trail)
    home = {name: origin.module for name, origin in homes.items()}
    first: dict[str, Origin] = {}
    nodes: dict[str, list[onnx.NodeProto]] = {}
    # The retyping nodes of weights are at the start of the graph, away from their readers.
    for node in sorted(graph.node, key=lambda node: node.op_type in RETYPING):
        first.setdefault(home[node.name], homes[node.name])
        nodes.setdefault(home[node.name], []).append(node)
    exact = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    readers: dict[str, set[str]] = {value.name: {""} for value in graph.output}
    for node in graph.node:
        for name in flow.sources(node.output[0]):
            readers.setdefault(name, set()).add(home[node.name])
    ends = {value.name for value in graph.output}
    errors = {**{name: tensor.error for name, tensor in compared.items()}, **dict.fromkeys(exact, 0.0)}
    rows = []
    for module, members in nodes.items():
        produced = {name for node in members for name in node.output if name}
        read = {name for node in members for name in flow.sources(node.output[0])} - produced
        crossing = [name for name in produced if name in ends or readers.get(name, set()) - {module}]
        entering = [error for name in read if (error := _error(flow, errors, name)) is not None]
        leaving = [error for name in crossing if (error := _error(flow, errors, name)) is not None]
        computed = sorted({kind for name in produced if (kind := types.of(name))} or {"fp32"})
        rows.append(
            ModuleDivergence(
                module, first[module].kind, first[module].source, len(members), len(produced & set(compared)),
                max(entering, default=None), max(leaving, default=None), "+".join(computed),
            )
        )  # fmt: skip
    return tuple(rows)


def _homes(graph: onnx.GraphProto, flow: Flow, trail: Trail) -> dict[str, Origin]:
    """Return the origin of each node by name. Retyping nodes belong to the node that produces the tensor; of weights, to the reader."""
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


def _error(flow: Flow, errors: Mapping[str, float], name: str) -> float | None:
    """Return the error of a tensor, or of the tensor that it converts to another type."""
    while name not in errors:
        node = flow.maker.get(name)
        if node is None or node.op_type not in RETYPING:
            return None
        name = node.input[0]
    return errors[name]
