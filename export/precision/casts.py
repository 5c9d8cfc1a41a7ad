"""The cast inserter: converts an FP32 model to a strongly typed FP16 or BF16 model; given nodes stay FP32.

    a node          ->  computes in 16 bits, unless it is kept or has no such form
    If, Loop, Scan  ->  inputs and outputs stay FP32, and each body is converted as a model of its own; all is FP32 if kept
    data movement   ->  takes the type of its data: 16 bits stay 16; FP32 stays FP32 if a later node needs FP32
    a tensor        ->  at most one cast, next to its producer and shared by its consumers

Rounding commutes with data movement, so the position of a cast changes no value. Only float32 tensors change: integers,
bool and float64 stay, and the casts of the model itself keep their meaning. Source: the ONNX schemas of opset 13 to 23.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from ...errors import InputError
from .graph import GraphIndex, captured, check, normalise, subgraphs, tensor_names, unique
from .halves import FP16, HalfName, HalfType, half_type, prepared, to_half
from .types import SINGLE, Role, Typing
from .weights import convert_weights


@dataclass(frozen=True)
class HalfModel:
    """A strongly typed model, and a warning for each weight that the 16-bit type cannot hold."""

    model: ModelProto
    warnings: tuple[str, ...]


def to_half_model(
    model: ModelProto, keep: Collection[str], precision: HalfName = "fp16", keep_io: bool = True
) -> ModelProto:
    """Return a strongly typed FP16 or BF16 model; the nodes named in ``keep`` compute in FP32.

    ``model`` has standard operators of opset 13 to 23 and is not changed. With ``keep_io`` the inputs and outputs
    stay float32; their names never change. Weights beyond the type's range saturate, and a non-zero weight never becomes
    zero. Nodes without a name are named as ``normalise`` does. Raises InputError if ``keep`` names an unknown node, and
    what ``normalise`` raises.
    """
    half = half_type(precision)
    return insert_casts(GraphIndex(normalise(prepared(model, half))), keep, keep_io, half).model


def insert_casts(index: GraphIndex, keep: Collection[str], keep_io: bool, half: HalfType = FP16) -> HalfModel:
    """``to_half_model`` for a normalised model, with warnings."""
    names = {node.name for node in index.every_node()}
    if unknown := sorted(set(keep) - names):
        raise InputError(f"node {unknown[0]!r} is not in the model", "keep only names of its nodes in FP32")
    typed = _Inserter(index, Typing(index, frozenset(keep), keep_io, half)).run()
    check(typed.model)
    return typed


class _Inserter:
    """Rewires a model to the types of a Typing; a body of the node named ``at``, with ``outer``, the inserter around it."""

    def __init__(self, index: GraphIndex, typing: Typing, outer: "_Inserter | None" = None, at: str = "") -> None:
        self.index, self.typing, self.outer, self.at = index, typing, outer, at
        self.half = typing.half.elem
        self.suffix = {SINGLE: "to_f32", self.half: typing.half.suffix}
        # New names are unique in the whole model.
        self.node_names: set[str] = {node.name for node in index.every_node()} if outer is None else outer.node_names
        self.tensor_names: set[str] = tensor_names(index.model.graph) if outer is None else outer.tensor_names
        self.warnings: list[str] = []
        self.found: dict[tuple[str, int], str] = {}  # (tensor of the source model, type) -> its name in the new model
        self.source: dict[str, tuple[str, int]] = {}  # a new name -> the tensor that it holds, its type
        self.after: dict[str, list[NodeProto]] = {}  # producer ('' for an input) -> the casts that stand behind it

    def run(self) -> HalfModel:
        """Return the typed model."""
        index, typing = self.index, self.typing
        new = ModelProto()
        new.CopyFrom(_without_graph(index.model))
        for weight in convert_weights(index, typing, self._new_tensor):
            new.graph.initializer.append(weight.tensor)
            self.found[weight.source, weight.dtype] = weight.tensor.name
            self.warnings += weight.warnings
        for name, dtype in typing.stored.items():
            if name in index.enclosing.values:
                continue
            border = name in index.outputs and dtype != typing.io_type
            self.found[name, dtype] = self._new_tensor(name, dtype) if border else name
        rewired = [self._rewire(node) for node in index.nodes]
        for name in index.outputs:
            if index.is_single(name):
                self._as_type(name, typing.io_type, "")
        ordered = list(self.after.get("", ()))
        for node in rewired:
            ordered += [node, *self.after.get(node.name, ())]
        new.graph.node.extend(without_dead_casts(ordered, index))
        self._declare(new)
        return HalfModel(new, tuple(self.warnings))

    def _rewire(self, node: NodeProto) -> NodeProto:
        new = NodeProto()
        new.CopyFrom(node)
        for position, name in enumerate(node.input):
            if self.index.is_single(name):
                new.input[position] = self._as_type(name, self.typing.input_type(node, position), node.name)
        for position, name in enumerate(node.output):
            if name in self.typing.stored:
                new.output[position] = self.found[name, self.typing.stored[name]]
        if node.name in self.typing.bodies:
            for body, typing in zip(subgraphs(new), self.typing.bodies[node.name], strict=True):
                typed = _Inserter(typing.index, typing, self, node.name).run()
                body.CopyFrom(typed.model.graph)
                self.warnings += typed.warnings
            return new
        bodies = {name: self._as_type(name, SINGLE, node.name) for name in captured(node) if self.index.is_single(name)}
        rename_captures(new, bodies)
        source = self.typing.roles[node.name] is Role.SOURCE and self.typing.compute[node.name] == self.half
        return retyped(new, self.typing.half) if source else new

    def _as_type(self, tensor: str, want: int, consumer: str) -> str:
        """The name of a float32 tensor of the source model in a type; adds a cast if necessary."""
        enclosing = self.index.enclosing
        if self.outer is not None and (tensor in enclosing.values or tensor in enclosing.constants):
            return self.outer._as_type(tensor, want, self.at)  # outside, once for all steps of a loop
        if (tensor, want) in self.found:
            return self.found[tensor, want]
        have = self.typing.stored[tensor]
        border = tensor in self.index.outputs and want == self.typing.io_type
        producer = self.index.producer(tensor)
        if want == self.half and not border and producer is not None and self.typing.widens_half(producer):
            return self._half_source(producer.input[0])
        name = tensor if border else self._new_tensor(tensor, want)
        self.found[tensor, want] = name
        prefix = producer.name if producer is not None else consumer or tensor
        cast_name = unique(f"{prefix}/{self.suffix[want]}", self.node_names)
        cast = helper.make_node("Cast", [self.found[tensor, have]], [name], name=cast_name, to=want)
        self.after.setdefault(producer.name if producer is not None else "", []).append(cast)
        return name

    def _half_source(self, tensor: str) -> str:
        """The name before 16 -> 32 -> 16 bits, which changes no value (32 -> 16 -> 32 does, and stays)."""
        if self.outer is not None and tensor in self.index.enclosing.values:
            return self.outer._half_source(tensor)
        return self.found.get((tensor, self.half), tensor)

    def _new_tensor(self, tensor: str, dtype: int) -> str:
        name = unique(f"{tensor}/{self.suffix[dtype]}", self.tensor_names)
        self.source[name] = (tensor, dtype)
        return name

    def _declare(self, new: ModelProto) -> None:
        """Declare inputs, outputs and value_info with the new types and the old shapes."""
        graph, typing = self.index.model.graph, self.typing
        infos = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
        new.graph.input.extend(graph.input)
        new.graph.output.extend(graph.output)
        for value in (*new.graph.input, *new.graph.output):
            if self.index.is_single(value.name):
                value.type.tensor_type.elem_type = typing.io_type
        border = {value.name for value in (*new.graph.input, *new.graph.output)}
        for name in (name for node in new.graph.node for name in node.output if name and name not in border):
            tensor, dtype = self.source.get(name, (name, typing.stored.get(name, 0)))
            value = new.graph.value_info.add()
            value.CopyFrom(infos[tensor])
            value.name = name
            if dtype:
                value.type.tensor_type.elem_type = dtype


def _without_graph(model: ModelProto) -> ModelProto:
    """The model's header: versions, opsets, metadata, and an empty graph of the same name."""
    header = ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            continue
        if field.is_repeated:
            getattr(header, field.name).extend(value)
        else:
            setattr(header, field.name, value)
    header.graph.name = model.graph.name
    header.graph.doc_string = model.graph.doc_string
    header.graph.metadata_props.extend(model.graph.metadata_props)
    header.graph.sparse_initializer.extend(model.graph.sparse_initializer)
    return header


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
