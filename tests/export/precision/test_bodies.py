"""The bodies of If, Loop and Scan are converted, and emulated, as any other node.

Each case has its values computed by NumPy twice: in FP32, and with a rounding wherever the FP16 model stores 16 bits.
"""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from attnexport.errors import InputError
from attnexport.export.engine import EngineOptions, build_engine, find_flavour
from attnexport.export.engine.parse import parsed
from attnexport.export.precision import convert, decide, to_half_model
from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.progress import Silent
from attnexport.runtime.sessions.ort import OrtSession
from attnexport.runtime.spec import Axis, TensorSpec

RNG = np.random.default_rng(3)
W = RNG.normal(size=(4, 4)).astype(np.float32) / 2
X = RNG.normal(size=(5, 4)).astype(np.float32)
Round = Callable[[np.ndarray], np.ndarray]
WEIGHT = f"float[4,4] w = {{{', '.join(f'{v:.9g}' for v in W.ravel())}}}"


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


IF = """g (float[5,4] x, bool c) => (float[5,4] y) <WEIGHT> {
  a = Sigmoid(x)
  b = If(c) <
    then_branch = t () => (float[5,4] p) {
      k = Constant<value = float {0.3}>()  q = MatMul(a, w)  s = Mul(q, k)  p = Sigmoid(s) },
    else_branch = e () => (float[5,4] q) { s = Mul(a, a)  q = Add(s, x) }>
  y = Sigmoid(b) }"""


def if_values(f: dict, r: Round) -> list[np.ndarray]:
    x, w, a = r(f["x"]), r(W), r(sigmoid(r(f["x"])))
    b = r(sigmoid(r(r(a @ w) * r(np.float32(0.3))))) if f["c"] else r(r(a * a) + x)
    return [r(sigmoid(b))]


LOOP = """g (float[5,4] x, int64 n, bool c) => (float[5,4] y, float[m,5,4] h) <WEIGHT> {
  y, h = Loop(n, c, x) <body = b (int64 i, bool ci, float[5,4] s) => (bool co, float[5,4] so, float[5,4] t) {
    co = Identity(ci)  d = MatMul(s, w)  t = Sigmoid(d)  so = Add(s, t) }> }"""


def loop_values(f: dict, r: Round) -> list[np.ndarray]:
    s, w, h = f["x"], r(W), []
    for _ in range(int(f["n"])):
        h.append(r(sigmoid(r(r(s) @ w))))
        s = s + h[-1]  # the update of a carried state stays FP32
    return [s, np.stack(h)]


NESTED = """g (float[5,4] x, int64 n, bool c) => (float[5,4] y) <WEIGHT, int64 two = {2}, int64 zero = {0}> {
  y = Loop(n, c, x) <body = b (int64 i, bool ci, float[5,4] s) => (bool co, float[5,4] so) {
    co = Identity(ci)  m = Mod(i, two)  even = Equal(m, zero)  d = MatMul(s, w)
    u = If(even) <
      then_branch = t () => (float[5,4] p) { q = Sigmoid(d)  p = Mul(q, x) },
      else_branch = e () => (float[5,4] q) { q = MatMul(d, w) }>
    so = MatMul(u, w) }> }"""


def nested_values(f: dict, r: Round) -> list[np.ndarray]:
    s, w, x = f["x"], r(W), r(f["x"])
    for i in range(int(f["n"])):
        d = r(r(s) @ w)
        s = r((r(r(sigmoid(d)) * x) if i % 2 == 0 else r(d @ w)) @ w)
    return [s]


SCAN = """g (float[5,4] x, float[5,4] z) => (float[4] u, float[4] v, float[5,4] y) <WEIGHT, float[4] o = {1, 2, 3, 4}> {
  u, v, y = Scan(o, o, x, z) <num_scan_inputs = 2, scan_input_directions = [0, 1], scan_output_directions = [1],
    body = b (float[4] s, float[4] k, float[4] a, float[4] e) => (float[4] so, float[4] ko, float[4] t) {
      d = MatMul(s, w)  so = Tanh(d)  g = Mul(a, e)  t = Add(g, d)  ko = Add(k, t) }> }"""


def scan_values(f: dict, r: Round) -> list[np.ndarray]:
    s = k = np.arange(1, 5, dtype=np.float32)
    w, y = r(W), []
    for a, e in zip(f["x"], f["z"][::-1], strict=True):
        d = r(r(s) @ w)
        y.append(r(r(r(a) * r(e)) + d))
        s, k = r(np.tanh(d)), k + y[-1]
    return [s, k, np.stack(y[::-1])]


TRUE = np.array(True)
CASES = {
    "If, then": (IF, if_values, {"x": X, "c": TRUE}),
    "If, else": (IF, if_values, {"x": X, "c": np.array(False)}),
    "Loop": (LOOP, loop_values, {"x": X, "n": np.array(6), "c": TRUE}),
    "If in Loop": (NESTED, nested_values, {"x": X, "n": np.array(5), "c": TRUE}),
    "Scan": (SCAN, scan_values, {"x": X, "z": X[:, ::-1].copy()}),
}


def rounded(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32).astype(np.float16).astype(np.float32)


def exact(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32)


def every(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes of a graph and of its bodies."""
    bodies = [entry.g for node in graph.node for entry in node.attribute if entry.HasField("g")]
    return [*graph.node, *(node for body in bodies for node in every(body))]


@pytest.fixture(params=CASES)
def case(request, model):
    text, values, feeds = CASES[request.param]
    return model(text.replace("WEIGHT", WEIGHT)), values, feeds


def test_emulation_rounds_in_bodies_as_numpy_does(case, emulated) -> None:
    source, values, feeds = case
    typed = convert(source, decisions=carried(source)).model
    expected, single = values(feeds, rounded), values(feeds, exact)
    for result, oracle, reference in zip(emulated(typed, **feeds), expected, single, strict=True):
        np.testing.assert_allclose(result, oracle, rtol=2**-10, atol=2**-14)
        assert np.mean(np.abs(result - oracle) <= 1e-6 * np.abs(oracle)) > 0.9, "one ulp is for a sum in another order"
        error = np.sqrt(np.mean((result - reference) ** 2) / np.mean(reference**2))
        assert 2e-5 < error < 2e-3, "FP16, not FP32"


def carried(source: onnx.ModelProto) -> list:
    return [decision for decision in decide(source) if decision.rule == "carried"]


def test_the_oracle_is_the_model(case) -> None:
    source, values, feeds = case
    with OrtSession(source.SerializeToString()) as session:
        results = session.run(feeds)
    for result, expected in zip(results.values(), values(feeds, exact), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_the_typed_model_is_valid_and_runs(case) -> None:
    source, values, feeds = case
    result = convert(source)
    onnx.checker.check_model(result.model, full_check=True)
    names = [node.name for node in every(result.model.graph)]
    assert len(names) == len(set(names)) and all(names)
    assert result.warnings == ()
    matmuls = [node for node in GraphIndex(result.model).every_node() if node.op_type == "MatMul"]
    assert matmuls and result.counts.half_nodes >= len(matmuls)
    (weight,) = (tensor for tensor in result.model.graph.initializer if tensor.name == "w")
    assert weight.data_type == TensorProto.FLOAT16, "a captured weight is stored once, in the type that the bodies read"
    with OrtSession(result.model.SerializeToString()) as session:
        for array, expected in zip(session.run(feeds).values(), values(feeds, exact), strict=True):
            np.testing.assert_allclose(array, expected, rtol=2e-2, atol=5e-3)


@pytest.mark.parametrize("name", ["Loop", "If in Loop"])
def test_bf16(name, model, emulated) -> None:
    text, values, feeds = CASES[name]
    typed = convert(model(text.replace("WEIGHT", WEIGHT)), precision="bf16").model
    expected = values(feeds, exact)[0]
    error = np.abs(emulated(typed, **feeds)[0] - expected).max() / np.abs(expected).max()
    assert 1e-4 < error < 2e-2


@pytest.mark.parametrize("name", ["If, then", "Loop", "If in Loop"])
def test_an_engine_builds_with_bodies_in_fp16(name, model) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'attnexport[rtx]'")
    text = CASES[name][0].replace("WEIGHT", f"{WEIGHT}, int64 n = {{3}}, bool yes = {{1}}")
    # TensorRT-RTX 1.7.1 takes the condition that enters a body for an input of the model if the body reads it.
    text = (
        text.replace("int64 n, bool c", "bool c").replace("Identity(ci)", "Identity(yes)").replace("(n, c,", "(n, yes,")
    )
    typed = convert(model(text)).model
    specs = [TensorSpec("x", "float32", (Axis.fixed(5), Axis.fixed(4))), TensorSpec("c", "bool", ())]
    flavour = find_flavour("rtx")
    with parsed(typed, flavour, {}) as network:
        layers = [network.network.get_layer(i) for i in range(network.network.num_layers)]
        half = flavour.module.DataType.HALF
        products = [layer.get_output(0).dtype for layer in layers if "MATRIX_MULTIPLY" in str(layer.type)]
        assert products and set(products) == {half}
    assert build_engine(typed, specs, flavour, EngineOptions(), {}, Silent()).plan


def test_a_node_with_bodies_that_is_kept_stays_fp32_as_a_whole(case, emulated) -> None:
    source, values, feeds = case
    keep = [node.name for node in normalise(source).graph.node]
    for result, expected in zip(emulated(to_half_model(source, keep), **feeds), values(feeds, exact), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_one_node_of_a_body_is_kept_by_its_name(model) -> None:
    source = model(IF.replace("WEIGHT", WEIGHT))
    typed = to_half_model(source, ["MatMul"])
    types = {node.op_type: node for node in every(typed.graph)}
    assert types["MatMul"].input[1] == "w"
    assert next(t for t in typed.graph.initializer if t.name == "w").data_type == TensorProto.FLOAT
    with pytest.raises(InputError, match="'nothing' is not in the model"):
        to_half_model(source, ["nothing"])


def test_the_rules_find_nodes_in_bodies(model) -> None:
    """``find`` is called with each body; a captured constant has its value there."""
    source = model("""g (float[2,4] x, bool c) => (float[2,4] y) <float big = {1e9}> {
      y = If(c) <
        then_branch = t () => (float[2,4] p) { q = Mul(x, big)  p = Neg(x) },
        else_branch = e () => (float[2,4] r) { r = Softmax(x) }> }""")
    found = {d.node: (d.rule, d.severity) for d in decide(source)}
    assert found == {"Mul": ("constants", "hazard"), "Softmax": ("softmax", "caution")}


@pytest.mark.parametrize(("name", "state"), [("If, then", ""), ("If in Loop", ""), ("Loop", "s"), ("Scan", "k")])
def test_the_update_of_a_carried_state_stays_fp32(name, state, model) -> None:
    reasons = [decision.reason for decision in carried(model(CASES[name][0].replace("WEIGHT", WEIGHT)))]
    text = f"it updates state {state!r} of a loop, and FP16 rounding adds up over the steps"
    assert reasons == ([text] if state else [])


def test_branches_may_use_a_name_twice_and_give_outer_tensors_back(model, emulated) -> None:
    source = model(
        """g (float[3] x, bool c) => (float[3] y) <float[3] w = {0.1, 0.2, 0.3}> {
      a = Exp(x)
      y = If(c) <
        then_branch = t () => (float[3] z) { z = CumSum(a, zero) },
        else_branch = e () => (float[3] z) { z = Mul(a, w) }> }""".replace(
            "<float[3] w", "<int64 zero = {0}, float[3] w"
        )
    )
    del source.graph.node[1].attribute[1].g.node[:]
    source.graph.node[1].attribute[1].g.output[0].name = "w"
    result = convert(source)
    onnx.checker.check_model(result.model, full_check=True)
    feeds = {"x": np.array([1, 2, 3], np.float32)}
    given = emulated(result.model, **feeds, c=np.array(False))[0]
    np.testing.assert_allclose(given, [0.1, 0.2, 0.3], rtol=1e-3)
    summed = emulated(result.model, **feeds, c=TRUE)[0]
    np.testing.assert_allclose(summed, np.cumsum(rounded(np.exp(feeds["x"]))), rtol=1e-6)


def test_a_model_without_an_fp16_node_has_a_warning_with_the_reason(model) -> None:
    source = model("g (float[2,4096] x, bool c) => (float[2,1] y) <int64[1] last = {-1}> {"
                   " y = If(c) <then_branch = t () => (float[2,1] p) { p = ReduceSum(x, last) },"
                   " else_branch = e () => (float[2,1] q) { q = ReduceMean(x, last) }> }")  # fmt: skip
    assert convert(source).warnings == (
        "the FP16 model has no node that computes in FP16, so it is not faster than FP32: 2 nodes stay FP32; the first "
        "reason concerns 2 of them, from 'ReduceSum' on: it sums over 4096 elements; beyond 2048 a sum in FP16 stops "
        "growing",
    )
    moved = model("g (float[2,4] x) => (float[4,2] y) { y = Transpose(x) }")
    assert convert(moved).warnings[0].endswith("1 node stays FP32; its nodes only move data")
    assert convert(model("g (int64[2] x) => (int64[2] y) { y = Neg(x) }")).warnings == ()
