"""A float32 model with an input that switches each layer to 8 bits, so that one session evaluates all sets.

x_j = Where(flag_j, DQ(Q(x)), x)        W_j = Where(flag_j, DQ(codes), W)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, TensorProto, helper

from ..precision.graph import GraphIndex
from .formats import Format
from .layers import Layer
from .pairs import Pairs

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
