"""One float32 model in which each layer can be made 8-bit by an input, so that one session answers for every choice.

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
        """The flags under which every layer is 8-bit but those in ``left``."""
        return np.array([name not in left for name in self.nodes])

    def only(self, node: str) -> np.ndarray:
        """The flags under which one layer is 8-bit."""
        return np.array([name == node for name in self.nodes])


def toggle_graph(index: GraphIndex, layers: Sequence[Layer], ranges: Mapping[str, float], kind: Format) -> LayerToggles:
    """Build it for a normalised float32 model; at least one layer."""
    pairs = Pairs(index, kind, ranges)
    flags = [pairs.fresh(f"{FLAGS}/{i}") for i in range(len(layers))]
    inputs: dict[str, tuple[str, str]] = {}
    for layer, flag in zip(layers, flags, strict=True):
        # The forms first: their nodes come before the choice between them.
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
