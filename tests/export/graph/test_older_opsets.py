"""A file of an older opset keeps its meaning at opset 18: ONNX Runtime gives the same before and after."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from attnexport.export.graph.older_opsets import brought_to

CASES = {
    "upsample_7": (7, 'y = Upsample <mode = "nearest", scales = [1.0, 1.0, 2.0, 1.5]> (x)'),
    "upsample_7_linear": (7, 'y = Upsample <mode = "linear", scales = [1.0, 1.0, 1.3, 2.0]> (x)'),
    "upsample_9": (9, 's = Constant <value = float[4] {1.0, 1.0, 1.7, 2.0}> () y = Upsample <mode = "nearest"> (x, s)'),
    "resize_10": (10, 's = Constant <value = float[4] {1.0, 1.0, 1.7, 2.0}> () y = Resize <mode = "linear"> (x, s)'),
    "resize_10_nearest": (10, 's = Constant <value = float[4] {1.0, 1.0, 1.7, 2.0}> () y = Resize <mode = "nearest"> (x, s)'),
    "resize_10_shorter": (10, 's = Constant <value = float[4] {1.0, 1.0, 0.6, 0.6}> () y = Resize <mode = "nearest"> (x, s)'),
    "resize_10_both": (10, 's = Constant <value = float[4] {1.0, 1.0, 1.7, 0.6}> () y = Resize <mode = "nearest"> (x, s)'),
    "resize_10_computed": (10, """s = Constant <value = float[4] {1.0, 1.0, 1.7, 0.6}> () z = Sub (s, s) t = Add (s, z)
                           y = Resize <mode = "nearest"> (x, t)"""),
    "resize_11": (11, 'r = Constant <value = float[0] {}> () s = Constant <value = float[4] {1.0, 1.0, 1.7, 2.0}> () '
                      'y = Resize <mode = "linear"> (x, r, s)'),
    "hardmax_7": (7, "y = Hardmax <axis = 2> (x)"),
    "hardmax_11": (11, "y = Hardmax (x)"),
    "softmax_11": (11, "y = Softmax <axis = 1> (x)"),
    "mvn_9": (9, "y = MeanVarianceNormalization (x)"),
    "mvn_13": (13, "y = MeanVarianceNormalization <axes = [0, 2]> (x)"),
    "mvn_18": (18, "y = MeanVarianceNormalization <axes = [1, 3]> (x)"),
    "clip_6": (7, "y = Clip <min = -0.5, max = 0.25> (x)"),
    "pad_2_edge": (7, 'y = Pad <mode = "edge", pads = [0, 0, 1, 2, 0, 0, 0, 1], value = 0.5> (x)'),
    "softmax_read_in_a_body": (11, """a = Softmax <axis = 1> (x)  l = LogSoftmax <axis = 2> (x)  n = ReduceMean <keepdims = 0> (x)
        o = Constant <value = float {0.0}> ()  b = Greater (n, o)
        y = If (b) <then_branch = t () => (float[2, 3, 4, 5] u) { u = Neg (a) },
                    else_branch = e () => (float[2, 3, 4, 5] v) { v = Add (a, l) }>"""),
    "pad_2": (7, "y = Pad <pads = [0, 0, 1, 2, 0, 0, 0, 1], value = 0.5> (x)"),
}  # fmt: skip


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def test_scan_of_opset_8_has_no_later_form() -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 8]> net (float[2, 3] s, float[2, 4, 3] x) => (float[2, 3] y) {
        y = Scan <num_scan_inputs = 1, body = step (float[3] a, float[3] b) => (float[3] c) { c = Add (a, b) }> (, s, x)
    }""")
    with pytest.raises(ValueError, match="Scan of opset 8"):
        brought_to(model, 18)


@pytest.mark.parametrize("name", CASES)
def test_the_meaning_stays(name: str) -> None:
    opset, body = CASES[name]
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> net (float[2, 3, 4, 5] x) => (float[a, b, c, d] y) {{ {body} }}'
    )
    before = model.SerializeToString()
    x = np.random.default_rng(2).standard_normal((2, 3, 4, 5)).astype(np.float32)
    converted = brought_to(model, 18)
    assert next(o.version for o in converted.opset_import) == 18
    onnx.checker.check_model(converted, full_check=True)
    np.testing.assert_allclose(run(converted, x), run(model, x), rtol=2e-5, atol=2e-6)
    assert model.SerializeToString() == before, "the file's model is not changed"
