"""The layers of an engine, with types, shapes, and the ONNX nodes and PyTorch modules that each comes from.

There are three sources; the best available one is used: the engine inspector (needs a GPU to deserialise the plan), the
listing in the builder's log (the same engine layers, without a GPU), the parsed network (before fusion).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ..graph.origin import Origin, origin_of

LayersFrom = Literal["inspector", "builder", "network"]
LayerJson = dict[str, Any]

_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<type>\w+), .*?"
    r"Outputs: \[(?P<outputs>.*?)\], (?:TacticName|StreamId|Metadata): .*?Metadata: ?(?P<metadata>.*)"
)
_OUTPUT = re.compile(r"\{ Name: (?P<name>.*?), Dimensions: \[(?P<shape>[-\d,]*)\].*?Datatype: (?P<dtype>\w+)")
_WORDS = {
    "Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Int8": "int8", "Int32": "int32", "Int64": "int64",
    "Bool": "bool", "UInt8": "uint8", "FP32": "float32", "FP16": "float16", "BF16": "bfloat16",
}  # fmt: skip


def node_names(metadata: str) -> list[str]:
    """The graph's nodes in TensorRT's layer metadata, without duplicates: ``[ONNX Layer: a]\\x1e[ONNX Layer: b]``.

    A node in a model-local function counts as the node that calls it: ``[ONNX Layer: inner | call (F)]`` is ``call``.
    """
    return list(dict.fromkeys(caller(name.split(" | ")) for name in _NODE.findall(metadata)))


def caller(stack: Sequence[str]) -> str:
    """The graph's node of a stack of calls, innermost first: ``["inner", "mid (F)", "call/q (G)"]`` is ``call/q``."""
    return stack[-1].rpartition(" (")[0] if len(stack) > 1 else stack[0]


def network_layers(network: Any, origins: Mapping[str, Origin]) -> list[LayerJson]:
    """Return the layers of the parsed network, before fusion."""
    layers = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        outputs = [layer.get_output(i) for i in range(layer.num_outputs)]
        described = [_output(t.name, dtype_name(t.dtype), _shape(t)) for t in outputs if t is not None]
        layers.append(_layer(layer.name, layer.type.name, described, node_names(layer.metadata), origins))
    return layers


def listed_layers(listing: str, origins: Mapping[str, Origin]) -> list[LayerJson]:
    """Return the engine's layers from the builder's listing (``Layers:\\nName: ...``); empty if it has another form."""
    body = listing.partition("\n")[2].partition("\n\n")[0]
    layers = []
    for line in body.split("\n") if body else []:  # not splitlines: the metadata contains \x1e
        match = _LINE.fullmatch(line)
        if match is None:
            return []
        outputs = [
            _output(
                o["name"], _WORDS.get(o["dtype"], o["dtype"]), [int(size) for size in o["shape"].split(",") if size]
            )
            for o in _OUTPUT.finditer(match["outputs"])
        ]
        layers.append(_layer(match["name"], match["type"], outputs, node_names(match["metadata"]), origins))
    return layers


def inspected_layers(trt: Any, engine: Any, origins: Mapping[str, Origin]) -> list[LayerJson]:
    """Return the engine's layers from the engine inspector of a deserialised engine."""
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    layers = []
    for entry in json.loads(text)["Layers"]:
        if isinstance(entry, str):  # an engine that was built without detailed verbosity lists names only
            layers.append(_layer(entry, "", [], [], origins))
            continue
        outputs = []
        for out in entry.get("Outputs", []):
            words = str(out.get("Datatype") or out.get("Format/Datatype", ""))
            dtype = next((name for word, name in _WORDS.items() if re.search(rf"\b{word}\b", words)), words)
            outputs.append(_output(out["Name"], dtype, list(out.get("Dimensions", []))))
        nodes = node_names(str(entry.get("Metadata", "")))
        layers.append(_layer(entry["Name"], str(entry.get("LayerType", "")), outputs, nodes, origins))
    return layers


def _shape(tensor: Any) -> list[int] | None:
    try:
        return list(tensor.shape)
    except ValueError:  # the rank depends on data
        return None


def _output(name: str, dtype: str, shape: list[int] | None) -> dict[str, Any]:
    return {"name": name, "dtype": dtype, "shape": shape}


def _layer(
    name: str, kind: str, outputs: list[dict[str, Any]], nodes: Iterable[str], origins: Mapping[str, Origin]
) -> LayerJson:
    nodes = list(nodes)
    modules = dict.fromkeys(o.module for n in nodes if (o := origin_of(n, origins)) is not None)
    return {"name": name, "type": kind, "outputs": outputs, "nodes": nodes, "modules": list(modules)}


_TENSORRT = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "INT32": "int32", "INT64": "int64",
    "BOOL": "bool", "UINT8": "uint8", "FP8": "float8", "INT4": "int4", "FP4": "float4", "E8M0": "float8e8m0",
}  # fmt: skip


_ONNX = {
    1: "float32", 10: "float16", 11: "float64", 16: "bfloat16", 2: "uint8", 3: "int8", 5: "int16", 6: "int32",
    7: "int64", 9: "bool", 17: "float8", 22: "int4", 23: "float4", 24: "float8e8m0",
}  # fmt: skip


def dtype_name(dtype: Any) -> str:
    """The name of a ``trt.DataType``: ``HALF`` is ``float16``."""
    return _TENSORRT.get(dtype.name, str(dtype.name).lower())


def onnx_dtype_name(elem_type: int) -> str:
    """The name of an ``onnx.TensorProto`` element type: 10 is ``float16``."""
    return _ONNX.get(elem_type, f"onnx type {elem_type}")
