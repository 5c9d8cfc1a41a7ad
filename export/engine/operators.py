"""Operators that TensorRT reads in another way than the model means: GridSample, Attention, and what computes in float64."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import EngineError
from ..graph.origin import Origin, origin_of
from .layers import node_names

if TYPE_CHECKING:
    import onnx

_MODES = {
    "bilinear": "LINEAR", "linear": "LINEAR", "nearest": "NEAREST", "bicubic": "CUBIC", "cubic": "CUBIC",
}  # fmt: skip
_PADDINGS = {"zeros": "FILL", "border": "CLAMP", "reflection": "REFLECT"}


def check_grid_samples(trt: Any, network: Any, model: "onnx.ModelProto", origins: Mapping[str, Origin]) -> list[str]:
    """Compare mode, padding and align_corners of each GridSample node of the main graph with its parsed layer.

    Several versions parse opset 20's ``linear`` as NEAREST without an error: TensorRT 10.13, 11.1, TensorRT-RTX up to 1.5
    (NVIDIA/TensorRT#4646). Returns the names of the nodes without a layer, which cannot be compared. Raises EngineError at
    the first difference.
    """
    layers: dict[str, Any] = {}
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.type == trt.LayerType.GRID_SAMPLE:
            layer.__class__ = trt.IGridSampleLayer  # get_layer returns the base class, which hides the modes
            layers.update(dict.fromkeys([layer.name, *node_names(layer.metadata)], layer))
    unseen: list[str] = []
    for node in model.graph.node:
        if node.op_type != "GridSample" or node.domain not in ("", "ai.onnx"):
            continue
        if node.name not in layers:
            unseen.append(node.name)
            continue
        layer = layers[node.name]
        asked = _asked(node)
        given = (layer.interpolation_mode.name, layer.sample_mode.name, bool(layer.align_corners))
        if asked != given:
            origin = origin_of(node.name, origins)
            made_by = f" from {origin.describe()}" if origin else ""
            raise EngineError(
                f"GridSample node {node.name!r}{made_by} asks for {_say(asked)}; TensorRT parses it as {_say(given)}",
                "write the node in opset 16 (mode 'bilinear'), or use a newer TensorRT",
            )
    return unseen


def _asked(node: "onnx.NodeProto") -> tuple[str, str, bool]:
    import onnx

    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    mode = values.get("mode", b"linear").decode()
    padding = values.get("padding_mode", b"zeros").decode()
    return _MODES.get(mode, mode), _PADDINGS.get(padding, padding), bool(values.get("align_corners", 0))


def _say(modes: tuple[str, str, bool]) -> str:
    return f"{modes[0]}, {modes[1]}, align_corners={int(modes[2])}"


_BOUNDARY = "ATTENTION_INPUT"


def allow_decomposition(trt: Any, network: Any) -> int:
    """Mark each Attention of ``network`` as decomposable, and return their number. Older TensorRT has no such layer.

    TensorRT-RTX 1.7.1 refuses layers without a fused kernel otherwise, FP32 of any head size, and FP16 and BF16 of head
    sizes 8 and 512: "Attention operation was not supported by a dedicated kernel". The parser has no option for this.
    """
    boundary = getattr(trt, "IAttentionInputLayer", None)
    if boundary is None:
        return 0
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    attentions = [layer for layer in layers if layer.type.name == _BOUNDARY]
    for layer in attentions:
        layer.__class__ = boundary  # get_layer returns the base class, which hides the attention
        layer.attention.decomposable = True
    return len(attentions)


def float64_values(model: "onnx.ModelProto") -> list[str]:
    """Initializers and casts of the main graph that are float64, by name: TensorRT converts them to float32 without a message."""
    double = 11
    casts = [
        n
        for n in model.graph.node
        if n.op_type == "Cast" and any(a.name == "to" and a.i == double for a in n.attribute)
    ]
    return [t.name for t in model.graph.initializer if t.data_type == double] + [n.output[0] for n in casts]
