"""The evaluator's walk: bodies, sequences, local functions, weights, and what it does without an FP64 kernel."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from attnexport.errors import StageError
from attnexport.export.reference.onnx import evaluator
from attnexport.export.reference.onnx.evaluator import Evaluator
from attnexport.export.reference.onnx_model import OnnxOriginal

HEADER = '<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1, "local" : 1]>'


def run(text, feeds, names=None):
    model = onnx.parser.parse_model(f"{HEADER}\n{text}")
    return Evaluator(model).run(feeds, names or [output.name for output in model.graph.output])


def test_a_loop_carries_stacks_and_stops():
    text = """net (int64 n, float[2] x, float limit) => (float[2] last, float[K, 2] rows) {
        yes = Constant <value_ints = [1]> ()
        run = Cast <to = 9> (yes)
        last, rows = Loop (n, run, x) <body = step (int64 i, bool c, float[2] v) => (bool again, float[2] w, float[2] row) {
            two = Constant <value_float = 2.0> ()
            w = Mul (v, two)
            row = Identity (v)
            s = ReduceMax <keepdims = 0> (w)
            again = Less (s, limit)
        }>
    }"""
    x = np.array([1, 3], np.float32)
    results = run(text, {"n": np.array(10), "x": x, "limit": np.array(20, np.float32)})
    np.testing.assert_array_equal(results["last"], x * 8)
    np.testing.assert_array_equal(results["rows"], [x, x * 2, x * 4])
    assert results["rows"].dtype == np.float64
    empty = run(text, {"n": np.array(0), "x": x, "limit": np.array(20, np.float32)})
    np.testing.assert_array_equal(empty["last"], x)
    assert empty["rows"].shape == (0, 2)


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("again", ["Identity (c)", "Less (i, n)"])
def test_a_loop_that_does_not_end_is_refused_before_onnx_runtime_runs_it(monkeypatch, precision, again):
    monkeypatch.setattr(evaluator, "MOST_TRIPS", 1000)
    text = f"""net (int64 n, float[2] x) => (float[2] last) {{
        flag = Constant <value_int = 1> ()
        run = Cast <to = 9> (flag)
        last = Loop (n, run, x) <body = step (int64 i, bool c, float[2] v) => (bool go, float[2] w) {{
            w = Neg (v)
            go = {again}
        }}>
    }}"""
    original = OnnxOriginal(onnx.parser.parse_model(f"{HEADER}\n{text}"))
    x = np.ones(2, np.float32)
    with pytest.raises(StageError, match=r"node 'last' \(Loop\) does not end: bodies ran 1,000 times"):
        original.run({"n": np.array(10**15), "x": x}, precision)
    np.testing.assert_array_equal(original.run({"n": np.array(999), "x": x}, precision)["last"], -x)


def test_a_scan_goes_backwards_along_an_axis():
    text = """net (float[2] s, float[2, 3] x) => (float[2] y, float[3, 2] z) {
        y, z = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_input_directions = [1], body = step (float[2] a, float[2] b)
            => (float[2] c, float[2] d) { c = Add (a, b) d = Identity (c) }> (s, x)
    }"""
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    results = run(text, {"s": np.zeros(2, np.float32), "x": x})
    np.testing.assert_array_equal(results["y"], x.sum(1))
    np.testing.assert_array_equal(results["z"], np.cumsum(x[:, ::-1], 1).T)


def test_an_if_reads_what_is_around_it_and_a_local_function_is_inlined():
    text = """net (bool c, float[3] x) => (float[3] y) {
        d = Neg (x)
        y = If (c) <then_branch = a () => (float[3] p) { p = local.twice (d) }, else_branch = b () => (float[3] q) { q = Abs (d) }>
    }
    <domain: "local", opset_import: ["" : 21]> twice (v) => (w) { w = Add (v, v) }"""
    x = np.array([1, -2, 0.1], np.float32)
    np.testing.assert_array_equal(run(text, {"c": np.array(True), "x": x})["y"], -2 * x.astype("d"))
    np.testing.assert_array_equal(run(text, {"c": np.array(False), "x": x})["y"], np.abs(x.astype("d")))


def test_sequences_and_optionals():
    text = """net (float[5, 2] x, int64 p) => (float[2, 2] y, int64 n, bool has, float[M, 2] z) {
        split = Constant <value_ints = [2, 3]> ()
        parts = SplitToSequence <axis = 0> (x, split)
        more = SequenceInsert (parts, x, p)
        n = SequenceLength (more)
        one = Constant <value_int = 1> ()
        y = SequenceAt (more, one)
        o = Optional (y)
        has = OptionalHasElement (o)
        doubled = SequenceMap (more) <body = each (float[K, 2] a) => (float[K, 2] b) { b = Add (a, a) }>
        z = ConcatFromSequence <axis = 0> (doubled)
    }"""
    x = np.arange(10, dtype=np.float32).reshape(5, 2)
    results = run(text, {"x": x, "p": np.array(0)})
    np.testing.assert_array_equal(results["y"], x[:2])
    assert results["n"] == 3
    assert results["has"]
    np.testing.assert_array_equal(results["z"], 2 * np.concatenate([x, x]))


def test_a_tensor_is_freed_after_its_last_reader_unless_it_is_asked_for():
    text = "net (float[3] x) => (float[3] y) { a = Neg (x) b = Exp (a) y = Add (b, a) }"
    x = np.array([0.1, 0.2, 0.3], np.float32)
    results = run(text, {"x": x}, ["b", "y", "x"])
    assert list(results) == ["b", "y", "x"]
    np.testing.assert_array_equal(results["b"], np.exp(-x.astype("d")))
    np.testing.assert_array_equal(results["y"], np.exp(-x.astype("d")) - x)


def test_nodes_that_are_not_sorted_run_in_order():
    model = onnx.parser.parse_model(f"{HEADER}\nnet (float[2] x) => (float[2] y) {{ a = Neg (x) y = Abs (a) }}")
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    x = np.array([1, -2], np.float32)
    np.testing.assert_array_equal(Evaluator(model).run({"x": x}, ["y"])["y"], [1, 2])


def test_sparse_weights_and_defaults_of_inputs():
    model = onnx.parser.parse_model(
        f"{HEADER}\nnet (float[4] x, float[4] d) => (float[4] y) {{ a = Mul (x, s) y = Add (a, d) }}"
    )
    values = numpy_helper.from_array(np.array([0.1, 0.3], np.float32), "s")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([1, 3]), "i"), [4])
    )
    model.graph.initializer.append(numpy_helper.from_array(np.full(4, 0.7, np.float32), "d"))
    x = np.ones(4, np.float32)
    y = Evaluator(model).run({"x": x}, ["y"])["y"]
    small, large, third = (float(np.float32(v)) for v in (0.1, 0.3, 0.7))
    np.testing.assert_array_equal(y, [third, small + third, third, large + third])


def test_an_operator_without_fp64_is_named():
    model = onnx.parser.parse_model(
        f"{HEADER}\nnet (float[3] x) => (float[3, 3] y) {{ y = com.microsoft.Unknown (x) }}"
    )
    with pytest.raises(StageError, match=r"node '' \(Unknown\) cannot be evaluated"):
        Evaluator(model).run({"x": np.ones(3, np.float32)}, ["y"])
    text = """net (float[1, 2, 4, 4] x, int32[1, 2, 4, 4] m) => (float[1, 2, 3, 3] y) {
        y = com.microsoft.MaxpoolWithMask <kernel_shape = [2, 2]> (x, m)
    }"""
    original = OnnxOriginal(onnx.parser.parse_model(f"{HEADER}\n{text}"))
    x = np.arange(32, dtype=np.float32).reshape(1, 2, 4, 4)
    y = original.run({"x": x, "m": np.ones(x.shape, np.int32)}, "float64")["y"]
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, x[:, :, 1:, 1:])
    assert original.notes == [
        "com.microsoft.MaxpoolWithMask is evaluated by ONNX Runtime in FP32: neither ONNX Runtime nor attnexport has it in FP64, so "
        "the reference has FP32's rounding there"
    ]


def test_integers_and_strings_have_the_types_of_the_file():
    text = """net (int32[3] x, string[2] s) => (int32[3] y, string[2] t) { y = Mul (x, x) t = Identity (s) }"""
    results = run(text, {"x": np.array([1, 2, 70000], np.int32), "s": np.array(["a", "b"], object)})
    assert results["y"].dtype == np.int32
    np.testing.assert_array_equal(results["y"], np.array([1, 2, 70000], np.int32) ** 2)
    assert list(results["t"]) == ["a", "b"]


def test_casts_keep_fp64_and_truncate():
    text = """net (float[2] x) => (float16[2] h, int64[2] i, bool[2] b) {
        h = Cast <to = 10> (x) i = Cast <to = 7> (x) b = Cast <to = 9> (x)
    }"""
    results = run(text, {"x": np.array([-1.7, 0.0], np.float32)})
    np.testing.assert_array_equal(results["h"], np.array([-1.7, 0], np.float32).astype("d"))
    np.testing.assert_array_equal(results["i"], [-1, 0])
    np.testing.assert_array_equal(results["b"], [True, False])
