"""The toggle graph: an FP32 model with an input that switches each rounding of the FP16 model on and off.

A node in FP16 reads rounded data and rounded weights, and its output is rounded; a node in FP32 does not round. So a
value from node p to node j is rounded unless both are FP32:

    x_j = If(out_p or in_j, Cast<f32>(Cast<f16>(x)), x)        W_j = If(weight_j, to_half(W), W)

This equals the result of the cast inserter for a set of kept nodes, edge by edge. Rounding commutes with data movement,
which therefore has no switch. One session evaluates all sets, and each rounding can be measured alone.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..precision.graph import GraphIndex, captured, tensor_names, unique
from ..precision.types import Role, Typing
from ..precision.weights import in_half, stays

FLAGS = "attnexport/flags"
KINDS = ("out", "weight", "in")
"""The switches of a node: its output, its constants, its inputs that no switched node computes."""


@dataclass(frozen=True)
class RoundingToggles:
    """The model, and the nodes with switches in graph order: flag ``len(KINDS) * i + kind`` belongs to node i."""

    model: ModelProto
    nodes: tuple[str, ...]
    place: dict[str, int] = field(default_factory=dict)

    def keeping(self, keep: Collection[str]) -> np.ndarray:
        """The flags with which all nodes compute in FP16 except those in ``keep``."""
        kept = frozenset(keep)
        return np.repeat([name not in kept for name in self.nodes], len(KINDS))

    def only(self, node: str, kind: str) -> np.ndarray:
        """The flags with which everything is FP32 except one rounding."""
        flags = np.zeros(len(self.nodes) * len(KINDS), dtype=bool)
        flags[self.place[node] * len(KINDS) + KINDS.index(kind)] = True
        return flags


def switched(index: GraphIndex, fixed: Collection[str]) -> tuple[NodeProto, ...]:
    """The nodes that can compute in FP16 or FP32: those with an FP16 form, without ``fixed`` nodes and data movement."""
    roles = Typing(index, frozenset(fixed), True).roles
    return tuple(node for node in index.nodes if roles[node.name] is Role.HALF)


def toggle_graph(index: GraphIndex, fixed: Collection[str]) -> RoundingToggles:
    """Build the toggle graph of a normalised float32 model; ``fixed`` nodes always compute in FP32."""
    typing = Typing(index, frozenset(fixed), True)
    nodes = switched(index, fixed)
    builder = _ToggleBuilder(index, typing, nodes)
    return RoundingToggles(builder.build(), tuple(n.name for n in nodes), {n.name: i for i, n in enumerate(nodes)})


class _ToggleBuilder:
    """Copies the graph and inserts the switches."""

    def __init__(self, index: GraphIndex, typing: Typing, nodes: Sequence[NodeProto]) -> None:
        self.index, self.typing = index, typing
        self.place = {node.name: i for i, node in enumerate(nodes)}
        self.tensors = tensor_names(index.model.graph)
        self.names = {node.name for node in index.nodes}
        self.constants: list[TensorProto] = []
        self.rounded: dict[str, str] = {}

    def build(self) -> ModelProto:
        """Return the model with its switches; the flags are its last input."""
        source = self.index.model
        new = ModelProto(ir_version=source.ir_version)
        new.opset_import.extend(source.opset_import)
        new.graph.name = source.graph.name
        new.graph.input.extend(source.graph.input)
        new.graph.output.extend(source.graph.output)
        new.graph.initializer.extend(source.graph.initializer)
        new.graph.sparse_initializer.extend(source.graph.sparse_initializer)
        new.graph.node.extend(self._flags())
        for node in self.index.nodes:
            new.graph.node.extend(self._node(node))
        new.graph.initializer.extend(self.constants)
        # Known shapes stay: to infer them behind each switch takes ONNX Runtime minutes on an unrolled network.
        made = {name for node in new.graph.node for name in node.output}
        new.graph.value_info.extend(value for value in source.graph.value_info if value.name in made)
        count = len(self.place) * len(KINDS)
        new.graph.input.append(helper.make_tensor_value_info(FLAGS, TensorProto.BOOL, [count]))
        return new

    def _flags(self) -> Iterator[NodeProto]:
        """Each flag as a tensor of one element."""
        names = [self._flag(node, kind) for node in self.place for kind in KINDS]
        sizes = self._constant(np.ones(len(names), np.int64), "sizes")
        yield helper.make_node("Split", [FLAGS, sizes], names, name=unique("attnexport/split", self.names), axis=0)

    def _flag(self, node: str, kind: str) -> str:
        return f"{FLAGS}/{kind}/{self.place[node]}"

    def _node(self, node: NodeProto) -> Iterator[NodeProto]:
        new = NodeProto()
        new.CopyFrom(node)
        if node.name not in self.place:
            yield new
            return
        slots = self.typing.slots[node.name]
        for position, name in enumerate(node.input):
            if self.index.is_single(name) and slots.input_half(position):
                nodes, new.input[position] = self._read(node, position, name)
                yield from nodes
        tail: list[NodeProto] = []
        for position, name in enumerate(node.output):
            if self.index.is_single(name) and slots.output_half(position):
                new.output[position] = self._raw(name)
                if self._is_read_as_stored(name):
                    tail += self._switch(self._flag(node.name, "out"), new.output[position], name)
        yield new
        yield from tail

    def _read(self, node: NodeProto, position: int, name: str) -> tuple[list[NodeProto], str]:
        """The form of a tensor that a switched node reads: the nodes that compute it, and its name."""
        target = unique(f"{name}/for/{self.place[node.name]}/{position}", self.tensors)
        if name in self.index.constants:
            return self._weight(node, name, target)
        flag = self._flag(node.name, "in")
        producer = self.index.producer(name)
        if producer is None or producer.name not in self.place or not self._is_half_output(producer, name):
            return self._switch(flag, name, target), target
        either = unique(f"{target}/either", self.tensors)
        both = helper.make_node(
            "Or", [self._flag(producer.name, "out"), flag], [either], name=unique(either, self.names)
        )
        return [both, *self._switch(either, self._raw(name), target)], target

    def _weight(self, node: NodeProto, name: str, target: str) -> tuple[list[NodeProto], str]:
        """A constant in the type of its reader, saturated and lifted as by the cast inserter."""
        if stays(self.index, name):
            return [], name
        if name not in self.rounded:  # once for all readers: ONNX Runtime would fold a copy for each
            half = in_half(self.index, name).array
            self.rounded[name] = self._constant(half.astype(np.float32), f"{name}/rounded")
        return self._switch(self._flag(node.name, "weight"), name, target, instead=self.rounded[name]), target

    def _switch(self, flag: str, source: str, target: str, instead: str | None = None) -> list[NodeProto]:
        """``target = If(flag, rounded source, source)``; ``instead`` is an existing rounded form."""
        dtype = TensorProto.FLOAT
        made, left = f"{target}/then", f"{target}/else"
        if instead is None:
            half = f"{target}/f16"
            rounding = [
                helper.make_node("Cast", [source], [half], name=half, to=TensorProto.FLOAT16),
                helper.make_node("Cast", [half], [made], name=made, to=dtype),
            ]
        else:
            rounding = [helper.make_node("Identity", [instead], [made], name=made)]
        passing = [helper.make_node("Identity", [source], [left], name=left)]
        branches = {
            "then_branch": _branch(rounding, made, f"{target}/rounded"),
            "else_branch": _branch(passing, left, f"{target}/kept"),
        }
        name = unique(f"{target}/if", self.names)
        return [helper.make_node("If", [flag], [target], name=name, **branches)]

    def _is_half_output(self, producer: NodeProto, name: str) -> bool:
        return self.typing.slots[producer.name].output_half(list(producer.output).index(name))

    def _is_read_as_stored(self, name: str) -> bool:
        """Whether a reader other than a switched operand needs the tensor itself."""
        if name in self.index.outputs:
            return True
        for node in self.index.consumers(name):
            slots = self.typing.slots[node.name]
            if node.name not in self.place or name in captured(node):
                return True
            if any(n == name and not slots.input_half(p) for p, n in enumerate(node.input)):
                return True
        return False

    def _raw(self, name: str) -> str:
        return f"{name}/raw/attnexport"

    def _constant(self, array: np.ndarray, name: str) -> str:
        full = unique(f"attnexport/{name}", self.tensors)
        self.constants.append(numpy_helper.from_array(array, full))
        return full


def _branch(nodes: Sequence[NodeProto], output: str, name: str) -> GraphProto:
    value = onnx.ValueInfoProto(name=output)
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    return helper.make_graph(list(nodes), name, [], [value])
