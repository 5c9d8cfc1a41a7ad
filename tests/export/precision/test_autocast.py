"""AutoCast as the inserter: where it is installed it does what we decide, and where it is not the refusal says how to get it."""

from __future__ import annotations

import importlib.util

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from attnexport.errors import InputError, MissingBackendError
from attnexport.export.options import ExportOptions
from attnexport.export.precision import convert

INSTALLED = importlib.util.find_spec("modelopt") is not None
NET = """g (float[2, 8] x) => (float[2, 8] y) <float[8, 8] w = {}, int64[1] last = {{1}}>
  {{ a = MatMul(x, w)  b = Relu(a)  s = Softmax(b)  y = MatMul(s, w) }}"""


def built(model):
    return model(NET.format("{" + ", ".join(f"{i / 64:.4f}" for i in range(64)) + "}"))


def test_autocast_keeps_what_the_policy_keeps_or_says_how_to_install_it(model, emulated):
    source = built(model)
    if not INSTALLED:
        with pytest.raises(MissingBackendError) as caught:
            convert(source, backend="autocast")
        assert "pip install --no-deps nvidia-modelopt tqdm nvidia-ml-py onnxslim lief" in str(caught.value)
        return
    result = convert(source, backend="autocast")
    onnx.checker.check_model(result.model, full_check=True)
    types = {v.name: v.type.tensor_type.elem_type for v in (*result.model.graph.value_info, *result.model.graph.output)}
    kinds = {n.name: types[n.output[0]] for n in result.model.graph.node if n.op_type != "Cast"}
    assert kinds["s"] == TensorProto.FLOAT and kinds["b"] == TensorProto.FLOAT16
    assert [v.type.tensor_type.elem_type for v in (*result.model.graph.input, *result.model.graph.output)] == [1, 1]
    x = np.random.default_rng(0).normal(size=(2, 8)).astype(np.float32)
    own = convert(source)
    assert (result.counts, result.decisions) == (own.counts, own.decisions)
    np.testing.assert_allclose(emulated(result.model, x=x)[0], emulated(own.model, x=x)[0], rtol=2e-3)


def test_a_loop_with_floats_is_refused_before_autocast_fails(model):
    source = model("""g (float[2] x, int64 n, bool go) => (float[2] y) {
      y = Loop(n, go, x) <body = b (int64 i, bool c, float[2] s) => (bool d, float[2] t) { d = Identity(c)  t = Add(s, s) }> }""")
    expected = InputError if INSTALLED else MissingBackendError
    with pytest.raises(expected, match=r"AutoCast fails on Loop node 'y'|--precision-backend autocast needs"):
        convert(source, backend="autocast")


@pytest.mark.parametrize(
    "given, message",
    [
        ({"precision_backend": "magic"}, "--precision-backend magic is not known. use own or autocast"),
        ({"precision_backend": "autocast", "precision": "fp32"}, "does not go with --precision fp32"),
        ({"precision": "bf16", "io_precision": "same"}, "NumPy has no bfloat16, so no array could be fed"),
        ({"io_precision": "fp16"}, "--io-precision fp16 is not known. use fp32 or same"),
    ],
)
def test_options_that_do_not_fit_are_refused(given, message, tmp_path):
    common = {
        "model": tmp_path / "m.pt",
        "trt": None,
        "precision": "fp16",
        "kwargs": "{}",
        "workspace": None,
        "gate": 2.0,
    }
    with pytest.raises(InputError) as caught:
        ExportOptions.from_strings(**{**common, **given})
    assert message in str(caught.value)
