"""The layers of a model that can be 8-bit, and the reasons of the others. A layer multiplies data by constant weights.

These are Conv, Gemm and MatMul with a constant second factor. The scales of weights lie along the output channels, so
that each scale is constant within a sum and can be taken out of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto

from ..graph.model import at_least
from ..precision.graph import GraphIndex, attribute, normalise
from ..precision.operators import standard
from .formats import OPSET

_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True)
class Layer:
    """A layer that can be 8-bit: its node, data, weight, and the weight's axis of output channels."""

    node: str
    data: str
    weight: str
    axis: int


@dataclass(frozen=True)
class Skipped:
    """A layer with constant weights that is not quantised, with the rule and the reason."""

    node: str
    weight: str
    rule: str
    reason: str


def quantisable(model: ModelProto) -> GraphIndex:
    """Return a float32 model normalised, at opset 19 or later: FP16 scales and FP8 codes need it.

    Raises StageError if ONNX's version converter fails, and what ``normalise`` raises.
    """
    return GraphIndex(normalise(at_least(model, OPSET, "quantise")))


def find_layers(index: GraphIndex, kept: Mapping[str, str]) -> tuple[list[Layer], list[Skipped]]:
    """Return the layers of a normalised model that can be 8-bit, and those that cannot, both in graph order.

    ``kept`` maps the nodes that stay FP32 in the 16-bit model to the reason: they are skipped too.
    """
    layers: list[Layer] = []
    skipped: list[Skipped] = []
    for node in index.nodes:
        if not standard(node) or node.op_type not in _PRODUCTS or not index.is_single(node.output[0]):
            continue
        weight = next((name for name in node.input[:2] if name in index.constants), None)
        if weight is None or all(name in index.constants for name in node.input[:2]):
            continue  # a product of two activations gains nothing; a product of two constants is not a layer
        problem = _problem(index, node, weight, kept)
        if problem is not None:
            skipped.append(Skipped(node.name, weight, *problem))
        else:
            layers.append(Layer(node.name, node.input[0], weight, _channels(node)))
    return layers, skipped


def _problem(index: GraphIndex, node: NodeProto, weight: str, kept: Mapping[str, str]) -> tuple[str, str] | None:
    if node.name in kept:
        return "kept", kept[node.name]
    if node.op_type == "ConvTranspose":
        return "form", "TensorRT computes a transposed convolution in floating point for all inputs"
    if weight != node.input[1]:
        return "form", "the weight is the left factor"
    value = index.value(weight)
    assert value is not None
    if node.op_type in ("Gemm", "MatMul") and value.ndim != 2:
        return "form", f"the weight has {value.ndim} axes, and one scale for each output channel needs 2"
    if not np.isfinite(value).all():
        return "form", "the weight contains a value that is not finite"
    return None


def _channels(node: NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    return 0 if node.op_type == "Gemm" and attribute(node, "transB", 0) else 1
