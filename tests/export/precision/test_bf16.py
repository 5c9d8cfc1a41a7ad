"""BF16: the range of FP32, two to three digits, and operators that have it from opset 22 on only."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from attnexport.errors import InputError
from attnexport.export.options import read_options
from attnexport.export.precision import convert, decide, to_half_model
from attnexport.runtime.sessions.emulated import open_emulated

SHELL = "g ({}) => ({}) <float big = {{1e9}}, float tiny = {{1e-12}}, float[3] w = {{0.1, 3.3, 300.7}}, int64[1] last = {{1}}> {{ {} }}"


def build(model, given: str, made: str, body: str, opset: int = 18):
    return model(SHELL.format(given, made, body), opset=opset)


def test_weights_round_as_torch_rounds_them(model, types):
    typed = to_half_model(build(model, "float[3] x", "float[3] y", "y = Mul(x, w)"), [], "bf16")
    assert types(typed) == {"y": "bf16"}
    got = next(numpy_helper.to_array(t) for t in typed.graph.initializer if t.name == "w")
    np.testing.assert_array_equal(got.astype(np.float32), torch.tensor([0.1, 3.3, 300.7]).bfloat16().float().numpy())


def test_what_is_beyond_fp16_is_not_beyond_bf16(model, emulated):
    source = build(
        model, "float[2, 3] x", "float[2, 3] y", "a = Mul(x, big)  b = Abs(a)  c = Add(b, tiny)  y = Div(a, c)"
    )
    assert {d.rule for d in decide(source)} == {"constants"}
    assert decide(source, precision="bf16") == []
    result = convert(source, precision="bf16")
    assert (result.half, result.counts.half_nodes, result.warnings) == ("bfloat16", 4, ())
    x = np.array([[0, 1, -2], [3, -4, 5]], np.float32)
    np.testing.assert_allclose(emulated(result.model, x=x)[0], np.sign(x), atol=1e-2)


@pytest.mark.parametrize("terms, severity", [(128, None), (129, "caution"), (256, "caution"), (257, "hazard")])
def test_bf16_counts_to_256(model, terms, severity):
    source = build(model, f"float[2, {terms}] x", "float[2, 1] y", "y = ReduceSum(x, last)")
    assert [d.severity for d in decide(source, precision="bf16")] == ([] if severity is None else [severity])
    softmax = build(model, f"float[2, {terms}] x", f"float[2, {terms}] y", "y = Softmax(x)")
    assert [d.severity for d in decide(softmax, precision="bf16")] == ["hazard" if terms > 256 else "caution"]


@pytest.mark.parametrize("body, raised", [("y = GlobalAveragePool(x)", True), ("y = Relu(x)", False)])
def test_the_opset_is_raised_where_an_operator_has_no_bf16_before_22(model, types, body, raised):
    size = "1, 1" if raised else "2, 2"
    source = build(model, "float[1, 3, 2, 2] x", f"float[1, 3, {size}] y", body)
    source.producer_name = "somebody"
    typed = to_half_model(source, [], "bf16")
    assert types(typed) == {"y": "bf16"}
    assert (typed.opset_import[0].version, typed.producer_name) == (22 if raised else 18, "somebody")
    assert source.opset_import[0].version == 18


def test_the_opset_stays_where_onnx_runtime_lacks_an_operator_at_22(model):
    body = "a = GlobalAveragePool(x)  b = GlobalLpPool(x)  y = Add(a, b)"
    source = build(model, "float[1, 3, 2, 2] x", "float[1, 3, 1, 1] y", body)
    typed = to_half_model(source, [], "bf16")
    assert typed.opset_import[0].version == 18
    session = open_emulated(typed.SerializeToString())
    x = np.ones((1, 3, 2, 2), np.float32)
    np.testing.assert_allclose(session.run({"x": x})["y"], np.full((1, 3, 1, 1), 3.0), rtol=1e-2)


def test_functions_survive_a_raised_opset(types):
    source = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18, "own" : 1]>
      g (float[1, 2, 2, 2] x) => (float[1, 2, 1, 1] y) { y = own.pool(x) }
      <domain: "own", opset_import: ["" : 18]> pool (a) => (b) { c = Add(a, a)  b = GlobalAveragePool(c) }""")
    assert list(types(to_half_model(source, [], "bf16")).values()) == ["bf16", "bf16"]


def test_another_type_is_refused(model):
    with pytest.raises(InputError, match=r"precision 'fp12' is not a 16-bit type\. use one of fp16, bf16"):
        convert(build(model, "float[3] x", "float[3] y", "y = Relu(x)"), precision="fp12")


@pytest.mark.parametrize(
    ("precision", "io_precision", "message"),
    [
        ("bf16", "same", "NumPy has no bfloat16, so no array could be fed"),
        ("fp16", "fp16", "--io-precision fp16 is not known. use one of fp32, same"),
    ],
)
def test_io_precision_must_fit_the_precision(precision, io_precision, message, tmp_path):
    words = {"precision": precision, "io_precision": io_precision}
    with pytest.raises(InputError) as caught:
        read_options(model=tmp_path / "m.pt", trt=None, kwargs="{}", workspace=None, gate=2.0, **words)
    assert message in str(caught.value)
