from __future__ import annotations

import pytest

from attnexport.errors import EngineError, InputError
from attnexport.export.engine import parse
from attnexport.export.engine.parse import parsed

GATE = "from module 'layer1.gate' (SpatialGate) at models/attention/cbam.py:41"
LOWER = "lower the operator to standard ones, or leave that module out of the engine."
CHANGE = "change that node of the model, or leave its module out of the engine."


def refusal(model, flavour, origins) -> str:
    with pytest.raises(EngineError) as caught, parsed(model, flavour, origins):
        pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("graph", "node", "reason", "remedy"),
    [
        (
            """net (float[1,12,16] x) => (float[1,3,5,5] y) <int64[2] size = {5,5}, int64[2] block = {2,2}>
            { [gate__fold] y = Col2Im(x, size, block) }""",
            "Col2Im node 'gate/fold'",
            "the operator is not supported",
            LOWER,
        ),
        (
            "net (float[1,3,8,8] x) => (float[1,27,64] y) { [gate__unfold] y = attnexport.Im2Col(x) }",
            "Im2Col node 'gate/unfold'",
            "the operator is not a standard one, and TensorRT has no plugin of that name",
            LOWER,
        ),
        (
            """net (float[4,3] x, int64[2,1] i, float[2,3] u) => (float[4,3] y)
            { [gate__scatter] y = ScatterND<reduction = "add">(x, i, u) }""",
            "ScatterND node 'gate/scatter'",
            'mode == "none": ScatterND with reduction is not supported',
            CHANGE,
        ),
        (
            "net (float[4,3] x, float16[4,3] h) => (float[4,3] y) { [gate__add__2] y = Add(x, h) }",
            "Add node 'gate/add/2'",
            "ElementWiseOperation SUM must have same input types. But they are of types Float and Half",
            CHANGE,
        ),
        (
            """net (float[1,3,8,8] x, float[1,4,4,2] g) => (float16[1,3,4,4] y)
            { [gate__half] h = Cast<to = 10>(x) [gate__sample] y = GridSample(h, g) }""",
            "GridSample node 'gate/sample'",
            "IGridSampleLayer `input` and `grid` must be of same type. `input` type is Half and `grid` type is Float",
            CHANGE,
        ),
    ],
    ids=["Col2Im", "custom domain", "ScatterND add", "mixed types", "FP16 data, FP32 grid"],
)
def test_a_refused_node_is_named_with_module_and_source(graph, node, reason, remedy, onnx_model, rtx, origins) -> None:
    expected = f"engine: TensorRT's parser refuses {node} {GATE}: {reason}. {remedy}"
    assert refusal(onnx_model(graph), rtx, origins) == expected


def test_several_unsupported_nodes_are_found_at_once(onnx_model, rtx, origins) -> None:
    nodes = " ".join(f"[gate__decode{i}] d{i} = ImageDecoder(x)" for i in range(4))
    said = refusal(
        onnx_model(f"net (uint8[9] x) => (uint8[a,b,c] z) {{ {nodes} [other] z = Col2Im(d0, d1, d2) }}"), rtx, origins
    )
    assert [f"'gate/decode{i}' {GATE}" in said for i in range(4)] == [True, True, True, False]
    assert "and 2 more nodes (Col2Im, ImageDecoder)" in said


def test_a_node_without_origin_or_name(onnx_model, rtx) -> None:
    graph = "net (uint8[9] x) => (uint8[a,b,c] y) { y = ImageDecoder(x) }"
    said = refusal(onnx_model(graph), rtx, {})
    assert "refuses ImageDecoder node that makes 'y': the operator is not supported." in said


def test_a_node_inside_functions_is_traced_to_the_call(onnx_model, rtx, origins) -> None:
    functions = """
        <domain: "attnexport", opset_import: ["" : 18]> Inner (a) => (b) { [deep] b = ImageDecoder(a) }
        <domain: "attnexport", opset_import: ["" : 18, "attnexport": 1]> Outer (a) => (b) {
            [middle] b = attnexport.Inner(a) }"""
    graph = "net (uint8[9] x) => (uint8[a,b,c] y) { [gate__call] y = attnexport.Outer(x) }"
    said = refusal(onnx_model(graph, functions=functions), rtx, origins)
    assert f"ImageDecoder node 'deep' in middle (Inner) in gate/call (Outer) {GATE}: the operator is not" in said


def test_a_model_in_memory_that_protobuf_cannot_write(rtx, mixed, monkeypatch) -> None:
    monkeypatch.setattr(parse, "_LARGEST", mixed.ByteSize() - 1)  # the bound itself would take 2 GB of memory
    with pytest.raises(InputError, match=r"protobuf's 2 GB\. save it with external data"), parsed(mixed, rtx, {}):
        pass


def test_the_network_is_strongly_typed_by_itself(mixed, rtx) -> None:
    with parsed(mixed, rtx, {}) as network:
        assert network.network.num_inputs == 1
        assert network.network.get_flag(rtx.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
