"""Insert QuantizeLinear and DequantizeLinear around layers: around all given ones, or behind a flag for each.

    data      x  ->  DQ(Q(x, s), s)          one pair for all readers of the tensor
    weight    W  ->  DQ(codes, scales)       the codes are stored: one byte per element
    bias           unchanged: sums of 8-bit products are 32-bit, and TensorRT adds a float

ONNX Runtime's ``quantize_static`` places them in the same way (a test compares both). This file adds FP8 with a scale per
channel, scales that FP16 can hold, and scales of tiny channels, for which ONNX Runtime uses 1.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..precision.graph import GraphIndex, captured, tensor_names, unique
from .formats import Format, data_scale, quantise_weight, weight_scales
from .layers import Layer


@dataclass
class Pairs:
    """The nodes and constants of the 8-bit forms of a model's tensors; each form is built once."""

    index: GraphIndex
    kind: Format
    ranges: Mapping[str, float]
    constants: list[TensorProto] = field(default_factory=list)
    head: list[NodeProto] = field(default_factory=list)
    weights: list[NodeProto] = field(default_factory=list)
    after: dict[str, list[NodeProto]] = field(default_factory=dict)
    """New nodes by the tensor that they follow."""

    def __post_init__(self) -> None:
        self.tensors = tensor_names(self.index.model.graph)
        self.names = {node.name for node in self.index.nodes}
        self._forms: dict[tuple[str, int | None], str] = {}

    def data(self, tensor: str) -> str:
        """Return the name of a tensor's 8-bit form; its scale comes from ``ranges``."""
        if (tensor, None) not in self._forms:
            scale = self.constant(np.asarray(data_scale(self.ranges[tensor], self.kind), np.float32), f"{tensor}/scale")
            zero = self._add(self.kind.zero((), self.fresh(f"{tensor}/zero")))
            codes, out = self.fresh(f"{tensor}/{self.kind.name}"), self.fresh(f"{tensor}/dequantised")
            nodes = [self.node("QuantizeLinear", [tensor, scale, zero], codes)]
            nodes.append(self.node("DequantizeLinear", [codes, scale, zero], out))
            self.after.setdefault(tensor, []).extend(nodes)
            self._forms[tensor, None] = out
        return self._forms[tensor, None]

    def weight(self, tensor: str, axis: int) -> str:
        """Return the name of a constant's 8-bit form with a scale per channel along ``axis``."""
        if (tensor, axis) not in self._forms:
            value = self.index.value(tensor)
            assert value is not None
            scales = weight_scales(value, axis, self.kind)
            codes = quantise_weight(value, scales, axis, self.kind)
            stored = self._add(self.kind.tensor(codes, self.fresh(f"{tensor}/{self.kind.name}")))
            scale = self.constant(scales, f"{tensor}/scales")
            zero = self._add(self.kind.zero(scales.shape, self.fresh(f"{tensor}/zeros")))
            out = self.fresh(f"{tensor}/dequantised")
            self.weights.append(self.node("DequantizeLinear", [stored, scale, zero], out, axis=axis))
            self._forms[tensor, axis] = out
        return self._forms[tensor, axis]

    def constant(self, value: np.ndarray, name: str) -> str:
        """Add a constant and return its name."""
        return self._add(numpy_helper.from_array(value, self.fresh(name)))

    def node(self, op: str, inputs: Sequence[str], output: str, axis: int | None = None) -> NodeProto:
        """Return a node that is named after its output."""
        attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
        return helper.make_node(op, list(inputs), [output], unique(output, self.names), **attributes)

    def fresh(self, name: str) -> str:
        """Return an unused tensor name."""
        return unique(name, self.tensors)

    def model(self, inputs: Mapping[str, tuple[str, str]]) -> ModelProto:
        """Return the model with these nodes; ``inputs`` maps layers to their new data and weight, by node name.

        Constants that nothing reads are removed; types and shapes of new tensors are not declared.
        """
        source = self.index.model
        new = ModelProto()
        new.CopyFrom(source)
        graph = new.graph
        nodes = [*self.head, *self.after_of(value.name for value in graph.input), *self.weights]
        for node in source.graph.node:
            changed = NodeProto()
            changed.CopyFrom(node)
            if node.name in inputs:
                changed.input[0], changed.input[1] = inputs[node.name]
            nodes += [changed, *self.after_of(node.output)]
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.extend(self.constants)
        drop_unread(new)
        return new

    def after_of(self, tensors: Iterable[str]) -> list[NodeProto]:
        """Return the new nodes that follow these tensors."""
        return [node for name in tensors for node in self.after.get(name, ())]

    def _add(self, tensor: TensorProto) -> str:
        self.constants.append(tensor)
        return tensor.name


def with_pairs(index: GraphIndex, layers: Sequence[Layer], ranges: Mapping[str, float], kind: Format) -> ModelProto:
    """Return the float32 model with these layers in 8 bits. ``ranges``: the largest magnitude of the data of each."""
    pairs = Pairs(index, kind, ranges)
    return pairs.model(
        {layer.node: (pairs.data(layer.data), pairs.weight(layer.weight, layer.axis)) for layer in layers}
    )


def drop_unread(model: ModelProto) -> None:
    """Remove the constants of the main graph that nothing reads."""
    graph = model.graph
    read = {name for node in graph.node for name in (*node.input, *captured(node))}
    read |= {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)


FLAGS = "attnexport/quantised"


@dataclass(frozen=True)
class LayerToggles:
    """The model, whose last input is one flag per layer, in the order of ``nodes``."""

    model: ModelProto
    nodes: tuple[str, ...]

    def leaving(self, left: Collection[str]) -> np.ndarray:
        """The flags with which all layers are 8-bit except those in ``left``."""
        return np.array([name not in left for name in self.nodes])

    def only(self, node: str) -> np.ndarray:
        """The flags with which only one layer is 8-bit."""
        return np.array([name == node for name in self.nodes])


def toggle_graph(index: GraphIndex, layers: Sequence[Layer], ranges: Mapping[str, float], kind: Format) -> LayerToggles:
    """Build the toggle graph of a normalised float32 model with at least one layer."""
    pairs = Pairs(index, kind, ranges)
    flags = [pairs.fresh(f"{FLAGS}/{i}") for i in range(len(layers))]
    inputs: dict[str, tuple[str, str]] = {}
    for layer, flag in zip(layers, flags, strict=True):
        # Their nodes must come before the Where that selects.
        forms = pairs.data(layer.data), pairs.weight(layer.weight, layer.axis)
        chosen = pairs.fresh(f"{layer.node}/data"), pairs.fresh(f"{layer.node}/weight")
        inputs[layer.node] = chosen
        pairs.after.setdefault(layer.data, []).append(pairs.node("Where", [flag, forms[0], layer.data], chosen[0]))
        pairs.weights.append(pairs.node("Where", [flag, forms[1], layer.weight], chosen[1]))
    sizes = pairs.constant(np.ones(len(layers), np.int64), f"{FLAGS}/sizes")
    pairs.head.append(helper.make_node("Split", [FLAGS, sizes], flags, name=f"{FLAGS}/split", axis=0))
    model = pairs.model(inputs)
    model.graph.input.append(helper.make_tensor_value_info(FLAGS, TensorProto.BOOL, [len(layers)]))
    return LayerToggles(model, tuple(layer.node for layer in layers))
