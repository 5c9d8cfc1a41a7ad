"""Reference and ONNX Runtime disagree on purpose: a wrong kernel is found, a known difference is a note, rounding is neither."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from attnexport.errors import StageError
from attnexport.export.reference.onnx.kernels import KERNELS
from attnexport.export.reference.onnx_model import OnnxOriginal


def original(text, opset=21):
    return OnnxOriginal(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]> net {text}'))


WRONG = {
    "Softmax": ("", lambda x: np.exp(x) / np.exp(x).sum(0, keepdims=True)),
    "Tanh": ("", lambda x: np.tanh(x) * 1.01),
    "Softplus": ("", lambda x: np.where(x > 3, x, np.log1p(np.exp(x)))),
    "ReduceMean": ("<axes = [1]>", lambda x: x.sum(1, keepdims=True) / (x.shape[1] + 1)),
    "Hardmax": ("", lambda x: np.eye(x.shape[1])[x.argmin(1)]),
    "IsNaN": ("", lambda x: x > 0),
}


@pytest.mark.parametrize("op", WRONG)
def test_a_wrong_kernel_is_found(monkeypatch, op):
    attributes, wrong = WRONG[op]
    table = dict(KERNELS)
    table["", op] = lambda call: [np.asarray(wrong(call.real(0)))]
    monkeypatch.setattr("attnexport.export.reference.onnx.evaluator.KERNELS", table)
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32) * 3
    kind = "bool" if op == "IsNaN" else "float"
    model = original(f"(float[3, 5] x) => ({kind}[3, M] y) {{ [mine] y = {op} {attributes} (x) }}", 17)
    with pytest.raises(StageError) as raised:
        model.run({"x": x}, "float64")
    message = str(raised.value)
    assert message.startswith(f"verify: node 'mine' ({op}, opset 17): on the same inputs output 0 at [")
    assert "the ONNX specification, which decides" in message


def test_both_values_are_in_the_message(monkeypatch):
    table = dict(KERNELS)
    table["", "Neg"] = lambda call: [call.real(0) * 1.0]
    monkeypatch.setattr("attnexport.export.reference.onnx.evaluator.KERNELS", table)
    with pytest.raises(
        StageError, match=r"output 0 at \[1\] is 2\.5 by attnexport's reference and -2\.5 by ONNX Runtime"
    ):
        original("(float[2] x) => (float[2] y) { y = Neg (x) }").run({"x": np.array([0, 2.5], np.float32)}, "float64")


def test_a_known_difference_is_a_note():
    model = original(
        "(float[1, 1, 12] x) => (float[1, 1, M] y) "
        '{ y = MaxPool <kernel_shape = [3], dilations = [2], strides = [2], auto_pad = "SAME_UPPER"> (x) }'
    )
    y = model.run({"x": np.arange(12, dtype=np.float32).reshape(1, 1, 12)}, "float64")["y"]
    np.testing.assert_array_equal(y[0, 0], [3, 5, 7, 9, 11, 11])
    assert len(model.notes) == 1
    assert "ONNX Runtime leaves the dilation out of the padding" in model.notes[0]


def test_amplified_rounding_is_not_a_difference():
    """1e6 + x - 1e6 loses most of x in FP32; the tangent near its pole multiplies the rounding of its argument."""
    model = original("(float[4] x) => (float[4] y, float[4] z) { y = Tan (x) z = Exp (y) }")
    x = np.array([1.5707963, 1.5707, 1.57, 0.1], np.float32)
    np.testing.assert_array_equal(model.run({"x": x}, "float64")["y"], np.tan(x.astype("d")))
    assert model.notes == []


def test_a_gate_that_is_subtracted_from_one_keeps_the_rounding_of_one():
    """z is within 1e-7 of 1, so that FP32 has 0 for 1 - z."""
    model = original("""(float[1, 1, 1] x) => (float[1, 1, 1, 1] y)
        <float[1, 3, 1] w = {16.5, 0.0, 1.0}, float[1, 3, 1] r = {0.0, 0.0, 0.0}> { y = GRU <hidden_size = 1> (x, w, r) }""")
    y = model.run({"x": np.ones((1, 1, 1), np.float32)}, "float64")["y"]
    np.testing.assert_allclose(y, np.tanh(1.0) / (1 + np.exp(16.5)), rtol=1e-9)


def test_only_the_first_run_checks(monkeypatch):
    calls = []
    model = original("(float[N] x) => (float[N] y) { y = Exp (x) }")
    check = model._double._agreement.check
    monkeypatch.setattr(model._double._agreement, "check", lambda *a: (calls.append(1), check(*a)))
    for size in (2, 3):
        model.run({"x": np.ones(size, np.float32)}, "float64")
    assert calls == [1]
