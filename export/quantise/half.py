"""The FP16 part of an 8-bit model: casts by the FP16 policy; casts around Q and DQ become FP16 scales.

    x: f16 -> Cast<f32> -> Q(s: f32)     ->    x: f16 -> Q(s: f16)
    DQ(s: f32) -> Cast<f16> -> y         ->    DQ(s: f16) -> y

From opset 19 on, a DequantizeLinear has the type of its scale. Scales are FP16 numbers already (formats.py), so only the
result of DQ is rounded, and TensorRT finds Q and DQ next to the layer.
"""

from collections.abc import Collection

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from ..precision.casts import HalfModel, insert_casts
from ..precision.graph import GraphIndex, captured, check, normalise, tensor_names, unique
from .pairs import drop_unread


def in_half(model: ModelProto, keep: Collection[str]) -> HalfModel:
    """Return a strongly typed model of a float32 one with Q/DQ: ``keep`` in FP32, the layers in 8 bits, all else in FP16.

    Inputs and outputs stay float32. Raises what ``to_half_model`` raises.
    """
    typed = insert_casts(GraphIndex(normalise(model)), keep, True)
    return HalfModel(_absorbed(typed.model), typed.warnings)


def _absorbed(model: ModelProto) -> ModelProto:
    index = GraphIndex(model)
    scales = _HalfScales(index)
    nodes: list[NodeProto] = []
    for node in index.nodes:
        new = NodeProto()
        new.CopyFrom(node)
        producer = index.producer(node.input[0]) if node.input else None
        if node.op_type == "QuantizeLinear" and _is_cast(index, producer, TensorProto.FLOAT16, TensorProto.FLOAT):
            assert producer is not None
            new.input[0], new.input[1] = producer.input[0], scales.of(node.input[1])
        elif _is_cast(index, node, TensorProto.FLOAT, TensorProto.FLOAT16) and _is(producer, "DequantizeLinear"):
            assert producer is not None
            new.CopyFrom(producer)
            new.name = unique(f"{producer.name}/f16", scales.names)
            new.input[1], new.output[0] = scales.of(producer.input[1]), node.output[0]
        nodes.append(new)
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    del graph.node[:]
    graph.node.extend(_read_nodes(nodes, set(index.outputs)))
    graph.initializer.extend(scales.constants)
    drop_unread(result)
    outputs = {name for node in graph.node for name in node.output}
    infos = [value for value in graph.value_info if value.name in outputs]
    del graph.value_info[:]
    graph.value_info.extend(infos)
    check(result)
    return result


class _HalfScales:
    """FP16 copies of scales, one for each scale."""

    def __init__(self, index: GraphIndex) -> None:
        self.index, self.tensors = index, tensor_names(index.model.graph)
        self.names = {node.name for node in index.nodes}
        self.constants: list[TensorProto] = []
        self._names: dict[str, str] = {}

    def of(self, scale: str) -> str:
        """Return the name of the copy."""
        if scale not in self._names:
            value = self.index.value(scale)
            assert value is not None
            half = value.astype(np.float16)
            assert np.array_equal(half.astype(np.float32), value), f"{scale} is not an FP16 number"
            self._names[scale] = unique(f"{scale}/f16", self.tensors)
            self.constants.append(numpy_helper.from_array(half, self._names[scale]))
        return self._names[scale]


def _is(node: NodeProto | None, op: str) -> bool:
    return node is not None and node.op_type == op


def _is_cast(index: GraphIndex, node: NodeProto | None, source: int, target: int) -> bool:
    return (
        node is not None
        and node.op_type == "Cast"
        and index.types.get(node.input[0]) == source
        and index.types.get(node.output[0]) == target
    )


def _read_nodes(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """The nodes without Casts and DequantizeLinears that nothing reads."""
    read = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if node.op_type in ("Cast", "DequantizeLinear") and not read.intersection(node.output):
            continue
        read.update(node.input)
        read.update(captured(node))
        kept.append(node)
    return kept[::-1]
