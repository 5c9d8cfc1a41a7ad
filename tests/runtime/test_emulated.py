"""Emulated FP16 and BF16 against NumPy's FP16 and torch's types, where ONNX Runtime's CPU provider alone is wrong."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import torch

from attnexport.errors import InputError
from attnexport.runtime.sessions.emulated import emulate, open_emulated

HALF = np.float16


def parse(text: str) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 18]> {text}')
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, **feeds: np.ndarray) -> np.ndarray:
    session = open_emulated(model.SerializeToString())
    return session.run(feeds)[session.output_names[0]]


def plain(model: onnx.ModelProto, **feeds: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


COUNT = """g (float16[1] x) => (float16[1] y) <float16[1] one = {15360}>
{ a = Add(x, one)  b = Add(a, one)  y = Add(b, one) }"""
OVERFLOW = """g (float16[1] x) => (float16[1] y) <float16[1] two = {16384}, float16[1] quarter = {13312}>
{ a = Mul(x, two)  y = Mul(a, quarter) }"""
VARIANCE = """g (float16[1, 4] x) => (float16[1, 4] y) <float16[1] eps = {168}, int64[1] axis = {1}>
{ s = Mul(x, x)  v = ReduceMean(s, axis)  e = Add(v, eps)  r = Sqrt(e)  q = Div(s, v)  z = Div(x, r)  y = Mul(z, q) }"""


def test_a_sum_stops_at_2048_as_in_numpy():
    model, x = parse(COUNT), np.array([2048], HALF)
    one = HALF(1)
    assert run(model, x=x) == x + one + one + one == HALF(2048)
    assert plain(model, x=x) > 2048, "ONNX Runtime rounds by itself now: the emulation could go"


def test_what_is_known_of_shapes_stays_in_the_type_that_tensors_have_now():
    """Without it ONNX Runtime needs minutes to open an unrolled LSTM whose batch is free."""
    model = parse(
        "g (float16[n, 4] x) => (float16[n, 4] y) { a = Relu(x)  s = Shape(a)  b = Reshape(a, s)  y = Relu(b) }"
    )
    info = onnx.helper.make_tensor_value_info
    half, wide = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    listed = onnx.helper.make_tensor_sequence_value_info("gone", half, [4])
    model.graph.value_info.extend([info("a", half, ["n", 4]), info("s", onnx.TensorProto.INT64, [2]), listed])
    model.graph.value_info.append(info("b", wide, ["n", 4]))  # wrong, and no longer true of anything
    assert list(emulate(model).graph.value_info) == [info("a", wide, ["n", 4]), info("s", onnx.TensorProto.INT64, [2])]
    assert model.graph.value_info[0].type.tensor_type.elem_type == half


def test_an_overflow_between_two_nodes_is_seen():
    model, x = parse(OVERFLOW), np.array([60000], HALF)
    assert np.isposinf(run(model, x=x))
    assert np.isfinite(plain(model, x=x))


def test_a_variance_beyond_65504_is_nan_although_onnxruntime_passes_it():
    model, x = parse(VARIANCE), np.array([[400, -300, 500, 280]], HALF)
    assert np.isnan(run(model, x=x)).all()
    assert np.isfinite(plain(model, x=x)).all()


@pytest.mark.parametrize("factor", [2.0**-10, 2.0**-12, 3e-4])
def test_subnormals_round_and_vanish_as_in_numpy(factor):
    model = parse("g (float16[64] x, float16[1] f) => (float16[64] y) { a = Mul(x, f)  y = Mul(a, f) }")
    x = np.geomspace(1e-4, 10, 64).astype(HALF)
    f = np.array([factor], HALF)
    expected = (x * f) * f
    assert (expected == 0).any() and (expected > 0).any()
    np.testing.assert_array_equal(run(model, x=x, f=f), expected)


@pytest.mark.parametrize(
    "op, reference", [("Add", np.add), ("Mul", np.multiply), ("Div", np.divide), ("Sub", np.subtract)]
)
def test_every_arithmetic_result_equals_numpy_bit_by_bit(op, reference):
    model = parse(
        f"g (float16[n] a, float16[n] b, float16[n] c) => (float16[n] y) {{ t = {op}(a, b)  y = {op}(t, c) }}"
    )
    rng = np.random.default_rng(0)
    a, b, c = (np.concatenate([rng.normal(size=500), rng.uniform(-6e4, 6e4, 500)]).astype(HALF) for _ in range(3))
    with np.errstate(all="ignore"):
        expected = reference(reference(a, b), c)
    np.testing.assert_array_equal(run(model, a=a, b=b, c=c), expected)


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
def test_onnxruntime_keeps_the_rounding_pairs_at_every_level(level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    for text, x, expected in ((COUNT, 2048, 2048), (OVERFLOW, 60000, np.inf)):
        session = onnxruntime.InferenceSession(
            emulate(parse(text)).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        assert session.run(None, {"x": np.array([x], HALF)})[0] == expected


def test_sums_inside_one_node_run_in_fp32():
    model = parse("g (float16[1, 4096] x, float16[4096, 1] w) => (float16[1, 1] y) { y = MatMul(x, w) }")
    ones = np.ones((1, 4096), HALF)
    assert run(model, x=ones, w=ones.T) == 4096
    assert np.cumsum(ones, dtype=HALF)[-1] == 2048


def test_names_types_and_the_source_model_do_not_change():
    model = parse("g (float16[2] x, float[2] f) => (float16[2] y, float[2] z) { y = Relu(x)  z = Add(f, f) }")
    before = model.SerializeToString()
    new = emulate(model)
    assert model.SerializeToString() == before
    assert list(new.graph.input) == list(model.graph.input)
    assert list(new.graph.output) == list(model.graph.output)
    onnx.checker.check_model(new, full_check=True)
    computing = [node.op_type for node in new.graph.node if node.op_type != "Cast"]
    assert computing == ["Relu", "Add"]


def test_fp32_nodes_are_not_rounded():
    model = parse("g (float[1] x) => (float[1] y) <float[1] one = {1}> { a = Add(x, one)  y = Add(a, one) }")
    assert run(model, x=np.array([2048], np.float32)) == 2050
    assert len(emulate(model).graph.node) == 2


def test_casts_round_once_and_bodies_are_rounded_too():
    model = parse("""g (float[1] x, bool c) => (float16[1] y) {
      h = Cast<to = 10>(x)
      y = If(c) <
        then_branch = a () => (float16[1] t) { s = Add(h, h)  u = Add(s, s)  t = Div(u, s) },
        else_branch = b () => (float16[1] e) { e = Identity(h) }>
    }""")
    x = np.array([30000.4], np.float32)
    assert run(model, x=x, c=np.array(False)) == HALF(30000.4)
    assert np.isposinf(run(model, x=x, c=np.array(True)))


def test_constants_made_in_fp16_keep_their_value():
    model = parse("""g (int64[1] n) => (float16[k] y) {
      a = ConstantOfShape<value = float16[1] {15360}>(n)
      b = Constant<value = float16[1] {14336}>()
      y = Add(a, b)
    }""")
    np.testing.assert_array_equal(run(model, n=np.array([3])), np.full(3, 1.5, HALF))


def bits(count: int, dtype: torch.dtype) -> torch.Tensor:
    """Random bit patterns of a 16-bit type: all sizes, subnormals and infinities among them; no NaN."""
    patterns = torch.from_numpy(np.random.default_rng(0).integers(-(2**15), 2**15, count, dtype=np.int16))
    values = patterns.view(dtype)
    return torch.where(values.isnan(), torch.ones_like(values), values)


ARITHMETIC = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Max": torch.maximum}
KINDS = {"FLOAT16": torch.float16, "BFLOAT16": torch.bfloat16}


@pytest.mark.parametrize("op", ARITHMETIC)
@pytest.mark.parametrize("kind", KINDS)
def test_arithmetic_equals_torch_bit_by_bit(op, kind):
    a, b = bits(20000, KINDS[kind]), bits(20000, KINDS[kind]).flip(0)
    to = getattr(onnx.TensorProto, kind)
    model = parse(f"""g (float[n] a, float[n] b) => (float[n] y) {{
      p = Cast<to = {to}>(a)  q = Cast<to = {to}>(b)  r = {op}(p, q)  y = Cast<to = 1>(r) }}""")
    expected = ARITHMETIC[op](a, b).float().numpy()
    np.testing.assert_array_equal(run(model, a=a.float().numpy(), b=b.float().numpy()), expected)


@pytest.mark.parametrize("kind, tolerance, spare", [("FLOAT16", 2e-3, 0x1FFF), ("BFLOAT16", 2e-2, 0xFFFF)])
def test_a_layer_is_as_near_as_torch_in_the_same_type(kind, tolerance, spare):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(8, 256)).astype(np.float32), (rng.normal(size=(256, 16)) / 16).astype(np.float32)
    to = getattr(onnx.TensorProto, kind)
    model = parse(f"""g (float[8, 256] x, float[256, 16] w) => (float[8, 16] y) {{
      p = Cast<to = {to}>(x)  q = Cast<to = {to}>(w)  m = MatMul(p, q)  t = Tanh(m)  y = Cast<to = 1>(t) }}""")
    got = run(model, x=x, w=w)
    p, q = torch.from_numpy(x).to(KINDS[kind]), torch.from_numpy(w).to(KINDS[kind])
    np.testing.assert_allclose(got, (p @ q).tanh().float().numpy(), atol=tolerance)
    assert np.abs(got - np.tanh(x.astype(np.float64) @ w)).max() < tolerance
    assert not (got.view(np.uint32) & spare).any(), "the result is stored in the type"


def test_bf16_counts_to_256_and_reaches_beyond_65504():
    add = parse("""g (float[1] x) => (float[1] y) {
      c = Constant<value = bfloat16[1] {16256}>()  a = Cast<to = 16>(x)  b = Add(a, c)  y = Cast<to = 1>(b) }""")
    assert run(add, x=np.array([255], np.float32)) == run(add, x=np.array([256], np.float32)) == 256
    square = parse("g (float[1] x) => (float[1] y) { a = Cast<to = 16>(x)  b = Mul(a, a)  y = Cast<to = 1>(b) }")
    assert run(square, x=np.array([2.0**60], np.float32)) == np.float32(2.0**120)


def test_bf16_inputs_and_outputs_of_a_model_are_fp32_and_rounded():
    session = open_emulated(parse("g (bfloat16[1] x) => (bfloat16[1] y) { y = Neg(x) }").SerializeToString())
    assert (session.input_dtypes, session.output_dtypes) == ({"x": "float32"}, {"y": "float32"})
    x = np.array([1 + 2.0**-9 + 2.0**-20], np.float32)
    assert session.run({"x": x})["y"] == -torch.from_numpy(x).bfloat16().float().numpy() != -x


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"])
def test_onnxruntime_keeps_bf16_pairs_at_every_level(level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    model = emulate(
        parse("g (float[1] x) => (float[1] y) { a = Cast<to = 16>(x)  b = Add(a, a)  y = Cast<to = 1>(b) }")
    )
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.array([1 + 2.0**-8 + 2.0**-9], np.float32)})[0] == 2 * (1 + 2.0**-7)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x08"])
def test_a_file_that_is_not_a_model_is_refused(content, tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.onnx"):
        open_emulated(path)


def test_a_missing_onnx_is_named_with_its_remedy():
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "from attnexport.runtime.sessions.emulated import open_emulated\n"
        "from attnexport.errors import MissingBackendError\n"
        "try: open_emulated(b'')\n"
        "except MissingBackendError as error: print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "emulation of 16-bit types needs onnx. pip install 'attnexport[export]'."
