from __future__ import annotations

import pytest

from attnexport.errors import EngineError
from attnexport.export.engine import EngineOptions, build_engine
from attnexport.export.engine.operators import check_grid_samples
from attnexport.export.engine.parse import parsed
from attnexport.runtime.spec import Axis, TensorSpec


@pytest.fixture
def sampler(onnx_model):
    """A model of one GridSample node, ``gate/sample``, with a convolution of other names around it."""

    def make(opset: int, attributes: str, name: str = "gate__sample"):
        return onnx_model(
            f"""net (float[N,3,8,8] x, float[N,4,4,2] g) => (float[N,3,4,4] y) {{
                [gate__before] b = Relu(x)
                [{name}] s = GridSample{f"<{attributes}>" if attributes else ""}(b, g)
                [gate__after] y = Exp(s) }}""",
            opset,
        )

    return make


MODES = [
    (16, 'mode = "bilinear"'), (16, 'mode = "nearest"'), (16, 'mode = "bicubic"'), (16, ""),
    (20, 'mode = "linear"'), (20, 'mode = "nearest"'), (20, 'mode = "cubic"'), (20, ""),
    (20, 'mode = "linear", padding_mode = "border", align_corners = 1'),
    (16, 'mode = "nearest", padding_mode = "reflection", align_corners = 1'),
]  # fmt: skip


@pytest.mark.parametrize(("opset", "attributes"), MODES)
def test_this_tensorrt_parses_what_is_asked(opset, attributes, sampler, rtx, origins) -> None:
    # 20 with "linear" is what TensorRT-RTX up to 1.5 took for NEAREST (NVIDIA/TensorRT#4646); 1.7.1 does not.
    with parsed(sampler(opset, attributes), rtx, origins) as network:
        assert check_grid_samples(rtx.module, network.network, network.graph, origins) == []


@pytest.mark.parametrize(
    ("asked", "parsed_as", "words"),
    [
        (
            'mode = "linear"',
            'mode = "nearest"',
            "asks for LINEAR, FILL, align_corners=0; TensorRT parses it as NEAREST,",
        ),
        (
            'mode = "nearest"',
            'mode = "linear"',
            "asks for NEAREST, FILL, align_corners=0; TensorRT parses it as LINEAR,",
        ),
        ("", 'mode = "cubic"', "asks for LINEAR, FILL, align_corners=0; TensorRT parses it as CUBIC, FILL"),
        ('padding_mode = "border"', "", "asks for LINEAR, CLAMP, align_corners=0; TensorRT parses it as LINEAR, FILL"),
        (
            "align_corners = 1",
            "",
            "asks for LINEAR, FILL, align_corners=1; TensorRT parses it as LINEAR, FILL, align_c",
        ),
    ],
)
def test_a_layer_that_samples_otherwise_is_refused(asked, parsed_as, words, sampler, rtx, origins) -> None:
    with parsed(sampler(20, parsed_as), rtx, origins) as network, pytest.raises(EngineError) as caught:
        check_grid_samples(rtx.module, network.network, sampler(20, asked), origins)
    assert words in str(caught.value)
    assert "GridSample node 'gate/sample' from module 'layer1.gate' (SpatialGate)" in str(caught.value)
    assert "write the node in opset 16 (mode 'bilinear'), or use a newer TensorRT" in str(caught.value)


def test_a_node_that_cannot_be_found_is_said(sampler, rtx, origins) -> None:
    with parsed(sampler(20, ""), rtx, origins) as network:
        other = sampler(20, "", name="gate__elsewhere")
        assert check_grid_samples(rtx.module, network.network, other, origins) == ["gate/elsewhere"]


def test_the_build_checks(sampler, rtx, reporter, monkeypatch) -> None:
    from attnexport.export.engine import operators

    batch = Axis(1, 2, 4, "N")
    inputs = [
        TensorSpec("x", "float32", (batch, Axis.fixed(3), Axis.fixed(8), Axis.fixed(8))),
        TensorSpec("g", "float32", (batch, Axis.fixed(4), Axis.fixed(4), Axis.fixed(2))),
    ]
    model = sampler(20, 'mode = "linear"')
    assert build_engine(model, inputs, rtx, EngineOptions(), {}, reporter).plan
    monkeypatch.setitem(operators._MODES, "linear", "NEAREST")  # as if this TensorRT had the bug the other way round
    with pytest.raises(EngineError, match="asks for NEAREST"):
        build_engine(model, inputs, rtx, EngineOptions(), {}, reporter)
