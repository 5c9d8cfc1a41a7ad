from __future__ import annotations

import onnx
import pytest
from typed_network import Mismatch, dtype_mismatches, tensor_dtypes

from attnexport.export.engine.layers import (
    caller,
    listed_layers,
    network_layers,
    node_names,
)  # fmt: skip
from attnexport.export.engine.parse import parsed
from attnexport.runtime.spec import DTYPES

LISTING = """Layers:
Name: __mye231_0_myl0_0, LayerType: shape_call, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0, Metadata: 
Name: __myl_CastMaxrSub_myl0_3, LayerType: kgen, Inputs: [ { Name: c, Dimensions: [-1,8,-1], Strides: [-1,1,8], Datatype: Float, Format: (NHWC) Channel major format }], Constants: [], Outputs: [ { Name: s, Dimensions: [-1,8,-1], Strides: [-1,1,8], StrideOrder: [2,1,0], Datatype: Half, Format: (Linear) Row major linear format }, { Name: m, Dimensions: [], Strides: [], Datatype: Int64, Format: (Linear) }], TacticName: __myl_CastMaxrSub_0x6061, StreamId: 0, Metadata: [ONNX Layer: gate/half]\x1f[ONNX Layer: gate/softmax]\x1e[ONNX Layer: gate/half]

I/O Tensors:
 Name: x, IOMode: Input, DataType: Float"""  # noqa: E501, W291  # as TensorRT-RTX 1.7.1 writes it


def test_the_builders_listing(origins) -> None:
    assert listed_layers(LISTING, origins) == [
        {"name": "__mye231_0_myl0_0", "type": "shape_call", "outputs": [], "nodes": [], "modules": []},
        {
            "name": "__myl_CastMaxrSub_myl0_3",
            "type": "kgen",
            "outputs": [
                {"name": "s", "dtype": "float16", "shape": [-1, 8, -1]},
                {"name": "m", "dtype": "int64", "shape": []},
            ],
            "nodes": ["gate/half", "gate/softmax"],
            "modules": ["layer1.gate"],
        },
    ]


@pytest.mark.parametrize("listing", ["Layers:", "Layers:\nconv, kgen", LISTING.replace("LayerType", "Kind", 1)])
def test_a_listing_in_another_form_is_not_half_read(listing: str) -> None:
    assert listed_layers(listing, {}) == []


def test_nodes_of_metadata() -> None:
    assert node_names("") == []
    assert node_names("[ONNX Layer: a/b]\x1e[ONNX Layer: c]\x1f[ONNX Layer: a/b]") == ["a/b", "c"]
    assert node_names("[ONNX Layer: inner | middle (F) | gate/call (G)]") == ["gate/call"]
    assert caller(["gate/conv"]) == "gate/conv"


def test_the_parsed_network_names_types_dtypes_and_modules(mixed, rtx, origins) -> None:
    with parsed(mixed, rtx, origins) as network:
        layers = {layer["name"]: layer for layer in network_layers(network.network, origins)}
    assert layers["stem/conv"] == {
        "name": "stem/conv",
        "type": "CONVOLUTION",
        "outputs": [{"name": "c", "dtype": "float16", "shape": [-1, 8, -1, -1]}],
        "nodes": ["stem/conv"],
        "modules": ["stem"],
    }
    assert layers["gate/softmax"]["type"] == "SOFTMAX"
    assert layers["gate/softmax"]["modules"] == ["layer1.gate"]


def test_a_function_counts_as_its_call(onnx_model, rtx, origins) -> None:
    functions = (
        """<domain: "attnexport", opset_import: ["" : 18]> F (a) => (b) { [in1] c = Relu(a) [in2] b = Exp(c) }"""
    )
    model = onnx_model("net (float[4] x) => (float[4] y) { [gate__call] y = attnexport.F(x) }", functions=functions)
    with parsed(model, rtx, origins) as network:
        layers = network_layers(network.network, origins)
    assert [(layer["nodes"], layer["modules"]) for layer in layers] == [(["gate/call"], ["layer1.gate"])] * 2


def test_strong_typing_is_honoured_value_by_value(mixed, rtx) -> None:
    with parsed(mixed, rtx, {}) as network:
        assert dtype_mismatches(network.network, mixed) == []
        given = tensor_dtypes(network.network)
    # Every value of the graph was compared, but the softmax's, which ends in a shuffle of the same name.
    assert {name: given[name] for name in "hcfsy"} == {
        "h": "float16", "c": "float16", "f": "float32", "s": "float32", "y": "float32",
    }  # fmt: skip


def test_a_dtype_that_differs_is_found(mixed, rtx) -> None:
    other = onnx.ModelProto()
    other.CopyFrom(mixed)
    next(n for n in other.graph.node if n.name == "gate/to_float").attribute[0].i = onnx.TensorProto.FLOAT16
    other.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    with parsed(mixed, rtx, {}) as network:
        assert dtype_mismatches(network.network, other) == [
            Mismatch("gate/to_float", "f", "float16", "float32"),
            Mismatch("gate/softmax", "s", "float16", "float32"),
            Mismatch("gate/sigmoid", "y", "float16", "float32"),
        ]


def test_float64_is_a_mismatch(onnx_model, rtx) -> None:
    model = onnx_model("net (float[4] x) => (float[4] y) { [a] d = Cast<to=11>(x) [b] y = Cast<to=1>(d) }")
    with parsed(model, rtx, {}) as network:
        assert dtype_mismatches(network.network, model) == [Mismatch("a", "d", "float64", "float32")]


def test_dtype_names_are_those_of_the_specs(rtx) -> None:
    from attnexport.export.engine.layers import dtype_name, onnx_dtype_name

    names = {dtype_name(member) for member in rtx.module.DataType.__members__.values()}
    assert {"float16", "float32", "int8", "int32", "int64", "uint8", "bool"} <= names & set(DTYPES)
    for dtype in set(DTYPES):
        assert onnx_dtype_name(onnx.helper.np_dtype_to_tensor_dtype(__import__("numpy").dtype(dtype))) == dtype
