"""The shadow graph: finds the nodes whose values FP16 cannot hold, in one run of the FP32 model.

    y = Node(x, w)    shadow(y) = round(Node(round(x), round(w)))    out of range: shadow(y) is inf or NaN where y is not

Each node is judged alone, on FP32 data that is rounded once, so that one overflow does not hide the next. Matrix products
and convolutions are not computed twice: their result on rounded data overflows if their result or the data overflows.
A node whose values reach 65504 / HEADROOM counts too, because another input may be larger. If a partial mask hides
positions, only the other positions count: the cast inserter lets the mask saturate at half of the range.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ...runtime.sessions.large_model import open_model
from ..precision.graph import GraphIndex, tensor_names, unique
from ..precision.halves import LARGEST
from ..precision.masks import carriers, is_partial
from ..precision.types import SINGLE, Typing
from ..precision.weights import in_half
from .toggle import switched

HEADROOM = 2.0
"""Factor by which the values of another input may be larger."""

_LINEAR = frozenset({"Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Overflow:
    """A node whose values FP16 cannot hold: its largest magnitude, and whether its FP16 form is inf or NaN."""

    node: str
    largest: float
    broke: bool

    @property
    def reason(self) -> str:
        """The reason in plain words."""
        if self.largest * HEADROOM >= LARGEST:
            return f"measured: its values reach {self.largest:.4g} here, and FP16 ends at 65504"
        return "measured: its result is infinity or NaN if its inputs are FP16"


def overflows(index: GraphIndex, fixed: Collection[str], feeds: Sequence[dict[str, np.ndarray]]) -> list[Overflow]:
    """Return the nodes, in graph order, that must be FP32 so that their values are finite on all ``feeds``.

    ``fixed`` nodes are FP32 and are not judged. The model is a normalised float32 model.
    """
    nodes = switched(index, fixed)
    if not nodes:
        return []
    builder = _ShadowBuilder(index, Typing(index, frozenset(fixed), True))
    session = open_model(
        builder.build(nodes), optimize=False
    )  # optimising thousands of nodes takes longer than the few runs
    broke = np.zeros(len(nodes), bool)
    largest = np.zeros(len(nodes))
    for feed in feeds:
        vectors = session.run(feed)
        broke |= vectors[builder.broke]
        largest = np.maximum(largest, vectors[builder.largest])
    session.close()
    high = np.isfinite(largest) & (largest * HEADROOM >= LARGEST)
    return [
        Overflow(node.name, float(largest[i]), bool(broke[i])) for i, node in enumerate(nodes) if broke[i] or high[i]
    ]


def _masked(index: GraphIndex) -> frozenset[str]:
    """The nodes whose large negative values come from partial masks."""
    found: set[str] = set()
    for node in index.nodes:
        if any(is_partial(index, node, name) for name in node.input):
            found.update((node.name, *(carrier.name for carrier in carriers(index, node))))
    return frozenset(found)


class _ShadowBuilder:
    """The FP32 model, the shadow of each node beside it, and two outputs: what broke, and how large values are."""

    def __init__(self, index: GraphIndex, typing: Typing) -> None:
        self.index, self.typing = index, typing
        self.tensors = tensor_names(index.model.graph)
        self.added: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.halves: dict[str, str] = {}
        self.masked = _masked(index)
        self.broke = unique("attnexport/broke", self.tensors)
        self.largest = unique("attnexport/largest", self.tensors)

    def build(self, nodes: Sequence[NodeProto]) -> ModelProto:
        """Return the model whose only outputs are two vectors with an element per node."""
        limits = [self._judge(node) for node in nodes]
        broken = self._op("Concat", [broke for broke, _ in limits], axis=0)
        self._op("Cast", [broken], self.broke, to=TensorProto.BOOL)
        self._op("Concat", [largest for _, largest in limits], self.largest, axis=0)
        source = self.index.model
        new = ModelProto(ir_version=source.ir_version)
        new.opset_import.extend(source.opset_import)
        new.graph.name = source.graph.name
        new.graph.input.extend(source.graph.input)
        new.graph.initializer.extend((*source.graph.initializer, *self.constants))
        new.graph.sparse_initializer.extend(source.graph.sparse_initializer)
        new.graph.node.extend((*source.graph.node, *self.added))
        new.graph.value_info.extend(source.graph.value_info)
        new.graph.output.append(helper.make_tensor_value_info(self.broke, TensorProto.BOOL, [len(nodes)]))
        new.graph.output.append(helper.make_tensor_value_info(self.largest, TensorProto.FLOAT, [len(nodes)]))
        return new

    def _judge(self, node: NodeProto) -> tuple[str, str]:
        slots = self.typing.slots[node.name]
        outputs = [n for i, n in enumerate(node.output) if self.index.is_single(n) and slots.output_half(i)]
        shadows = self._shadow(node)
        broke = [self._breaks(name, shadows[name]) for name in outputs]
        if node.op_type in _LINEAR:
            broke += [self._breaks(n, self._half(n)) for n in node.input if self.index.is_single(n)]
        hides = node.name in self.masked
        largest = [self._most(name if hides else self._op("Abs", [name])) for name in outputs]
        return self._worst(broke), self._worst(largest)

    def _shadow(self, node: NodeProto) -> dict[str, str]:
        """The rounded shadow of each output that FP16 would store."""
        slots = self.typing.slots[node.name]
        stored = [n for i, n in enumerate(node.output) if self.index.is_single(n) and slots.output_half(i)]
        if node.op_type in _LINEAR:
            return {name: self._half(name) for name in stored}
        copy = NodeProto()
        copy.CopyFrom(node)
        copy.name = self._fresh(f"{node.name}/shadow")
        for position, name in enumerate(node.input):
            if self.index.is_single(name) and slots.input_half(position):
                copy.input[position] = self._half(name)
        raw = {name: self._fresh(f"{name}/shadow") for name in node.output if name}
        for position, name in enumerate(node.output):
            copy.output[position] = raw.get(name, "")
        self.added.append(copy)
        return {name: self._half(raw[name]) for name in stored}

    def _half(self, name: str) -> str:
        """A tensor rounded to FP16 and back; constants and positions that a partial mask hides saturate."""
        if name in self.halves:
            return self.halves[name]
        self.halves[name] = rounded = self._fresh(f"{name}/rounded")
        if name in self.index.constants:
            half = in_half(self.index, name).array
            self.constants.append(numpy_helper.from_array(half.astype(np.float32), rounded))
        else:
            producer = self.index.producer(name)
            if producer is not None and producer.name in self.masked:
                name = self._op("Max", [name, self._constant(np.float32(-LARGEST))])
            self._op("Cast", [self._op("Cast", [name], to=TensorProto.FLOAT16)], rounded, to=SINGLE)
        return rounded

    def _breaks(self, raw: str, shadow: str) -> str:
        """A vector of one element: 1 if a value is finite in ``raw`` and not in ``shadow``, else 0."""
        finite = self._constant(np.float32(math.inf))
        good = [self._op("Less", [self._op("Abs", [name]), finite]) for name in (raw, shadow)]
        lost = self._op("And", [good[0], self._op("Not", [good[1]])])
        return self._most(self._op("Cast", [lost], to=SINGLE))

    def _most(self, name: str) -> str:
        """The largest element, as a vector of one element; 0 for an empty tensor."""
        flat = self._op("Reshape", [name, self._constant(np.array([-1]))])
        return self._worst([flat, self._constant(np.zeros(1, np.float32))])

    def _worst(self, vectors: Sequence[str]) -> str:
        """The largest element of vectors, as a vector of one element."""
        if len(vectors) == 1:
            return vectors[0]
        return self._op("ReduceMax", [self._op("Concat", vectors, axis=0)], keepdims=1)

    def _op(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or self._fresh(f"attnexport/{op}")
        self.added.append(helper.make_node(op, list(inputs), [output], name=f"{output}/node", **attributes))
        return output

    def _constant(self, array: np.ndarray | np.float32) -> str:
        name = self._fresh("attnexport/constant")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def _fresh(self, name: str) -> str:
        return unique(name, self.tensors)
