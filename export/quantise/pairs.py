"""Putting QuantizeLinear and DequantizeLinear around layers.

    data      x  ->  DQ(Q(x, s), s)          one pair for all layers that read the tensor
    weight    W  ->  DQ(codes, scales)       codes are stored: one byte an element
    bias           stays: sums of 8-bit products are 32-bit, and TensorRT adds a float

ONNX Runtime's ``quantize_static`` places them alike (a test holds the two together); this file adds FP8 with a scale
for each channel, scales that FP16 holds, and scales of tiny channels, for which ONNX Runtime takes 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..precision.graph import GraphIndex, captured, tensor_names, unique
from .formats import Format, data_scale, quantise_weight, weight_scales
from .layers import Layer


@dataclass
class Pairs:
    """The nodes and constants that make 8-bit forms of tensors of one model; each form is made once."""

    index: GraphIndex
    kind: Format
    ranges: Mapping[str, float]
    constants: list[TensorProto] = field(default_factory=list)
    head: list[NodeProto] = field(default_factory=list)
    weights: list[NodeProto] = field(default_factory=list)
    after: dict[str, list[NodeProto]] = field(default_factory=dict)
    """New nodes by the tensor behind which they stand."""

    def __post_init__(self) -> None:
        self.tensors = tensor_names(self.index.model.graph)
        self.names = {node.name for node in self.index.nodes}
        self._found: dict[tuple[str, int | None], str] = {}

    def data(self, tensor: str) -> str:
        """The name of a tensor's 8-bit form; ``ranges`` says how far it goes."""
        if (tensor, None) not in self._found:
            scale = self.constant(np.asarray(data_scale(self.ranges[tensor], self.kind), np.float32), f"{tensor}/scale")
            zero = self._held(self.kind.zero((), self.fresh(f"{tensor}/zero")))
            codes, out = self.fresh(f"{tensor}/{self.kind.name}"), self.fresh(f"{tensor}/dequantised")
            nodes = [self.node("QuantizeLinear", [tensor, scale, zero], codes)]
            nodes.append(self.node("DequantizeLinear", [codes, scale, zero], out))
            self.after.setdefault(tensor, []).extend(nodes)
            self._found[tensor, None] = out
        return self._found[tensor, None]

    def weight(self, tensor: str, axis: int) -> str:
        """The name of a constant's 8-bit form with a scale for each channel along ``axis``."""
        if (tensor, axis) not in self._found:
            value = self.index.value(tensor)
            assert value is not None
            scales = weight_scales(value, axis, self.kind)
            codes = quantise_weight(value, scales, axis, self.kind)
            held = self._held(self.kind.tensor(codes, self.fresh(f"{tensor}/{self.kind.name}")))
            scale = self.constant(scales, f"{tensor}/scales")
            zero = self._held(self.kind.zero(scales.shape, self.fresh(f"{tensor}/zeros")))
            out = self.fresh(f"{tensor}/dequantised")
            self.weights.append(self.node("DequantizeLinear", [held, scale, zero], out, axis=axis))
            self._found[tensor, axis] = out
        return self._found[tensor, axis]

    def constant(self, value: np.ndarray, name: str) -> str:
        """A new constant's name."""
        return self._held(numpy_helper.from_array(value, self.fresh(name)))

    def node(self, op: str, inputs: Sequence[str], output: str, axis: int | None = None) -> NodeProto:
        """A node named after what it makes."""
        attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
        return helper.make_node(op, list(inputs), [output], unique(output, self.names), **attributes)

    def fresh(self, name: str) -> str:
        """A tensor name that is not taken."""
        return unique(name, self.tensors)

    def model(self, inputs: Mapping[str, tuple[str, str]]) -> ModelProto:
        """The model with these nodes in it; ``inputs`` gives layers their new data and weight, by node name.

        Constants that nothing reads any more are left out; types and shapes of new tensors are not declared.
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
        """The new nodes that stand behind any of these tensors."""
        return [node for name in tensors for node in self.after.get(name, ())]

    def _held(self, tensor: TensorProto) -> str:
        self.constants.append(tensor)
        return tensor.name


def with_pairs(index: GraphIndex, layers: Sequence[Layer], ranges: Mapping[str, float], kind: Format) -> ModelProto:
    """The float32 model with these layers 8-bit. ``ranges``: how far the data of each goes."""
    pairs = Pairs(index, kind, ranges)
    return pairs.model({one.node: (pairs.data(one.data), pairs.weight(one.weight, one.axis)) for one in layers})


def drop_unread(model: ModelProto) -> None:
    """Take out the constants of the main graph that nothing reads."""
    graph = model.graph
    read = {name for node in graph.node for name in (*node.input, *captured(node))}
    read |= {value.name for value in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)
