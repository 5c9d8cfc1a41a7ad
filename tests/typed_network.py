"""Compare the types of a parsed TensorRT network with those of its ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import onnx

from attnexport.export.engine.layers import network_layers, onnx_dtype_name


@dataclass(frozen=True)
class Mismatch:
    """An ONNX value that TensorRT gave another dtype."""

    node: str
    value: str
    onnx_dtype: str
    network_dtype: str


def tensor_dtypes(network: Any) -> dict[str, str]:
    """The dtype of each tensor that a layer of the network computes, by name."""
    return {o["name"]: o["dtype"] for layer in network_layers(network, {}) for o in layer["outputs"]}


def dtype_mismatches(network: Any, model: onnx.ModelProto) -> list[Mismatch]:
    """The values whose dtype differs; none with strong typing. Values without a tensor (folded constants) are skipped."""
    actual = tensor_dtypes(network)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    asked = {v.name: onnx_dtype_name(v.type.tensor_type.elem_type) for v in [*inferred.value_info, *inferred.output]}
    return [
        Mismatch(node.name, value, asked[value], actual[value])
        for node in model.graph.node
        for value in node.output
        if value in asked and value in actual and asked[value] != actual[value]
    ]
