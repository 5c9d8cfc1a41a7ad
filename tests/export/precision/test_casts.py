"""The cast inserter: the types it gives, the casts it needs, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx.reference
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from attnexport.errors import InputError, StageError
from attnexport.export.precision import convert, to_half_model

HALF = np.float16
CHAIN = "g (float[n, 4] x) => (float[n, 4] y) { a = Relu(x)  b = Exp(a)  y = Neg(b) }"


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_a_chain_gets_one_cast_at_each_border(model, types, casts, emulated):
    typed = to_half_model(model(CHAIN), [])
    assert types(typed) == {"a": "f16", "b": "f16", "y": "f16"}
    assert casts(typed) == ["a/to_f16", "y/to_f32"]
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    truth = -np.exp(np.maximum(x.astype(np.float64), 0))
    assert np.abs(emulated(typed, x=x)[0] - truth).max() <= 2.0**-9 * np.abs(truth).max()


def test_a_kept_node_gets_casts_around_it_named_after_the_producer(model, types, casts):
    typed = to_half_model(model(CHAIN), ["b"])
    assert types(typed) == {"a": "f16", "b": "f32", "y": "f16"}
    assert casts(typed) == ["a/to_f16", "a/to_f32", "b/to_f16", "y/to_f32"]


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max"])
def test_a_scatter_that_combines_values_stays_fp32(model, types, reduction):
    source = model(f"""g (float[3] x, int64[2] i, float[2] u) => (float[3] y) {{
        a = Relu(x)  b = Relu(u)  y = ScatterElements<reduction = "{reduction}">(a, i, b) }}""")
    typed = to_half_model(source, [])
    assert types(typed) == {"a": "f16", "b": "f16", "y": "f16" if reduction == "none" else "f32"}
    session = onnxruntime.InferenceSession(typed.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"x": np.ones(3, np.float32), "i": np.array([0, 2]), "u": np.full(2, 3, np.float32)}
    expected = {"none": [3, 1, 3], "add": [4, 1, 4], "mul": [3, 1, 3], "max": [3, 1, 3]}[reduction]
    np.testing.assert_array_equal(session.run(None, feeds)[0], expected)


def test_sizes_that_onnx_infers_otherwise_than_the_file_has_do_not_matter():
    """Before opset 22 onnx infers 4 columns; the fourth window would begin behind the image, so there are 3."""
    source = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18]>
        g (float[1, 1, 5, 6] x) => (float[1, 1, 3, 3] y) {
        a = Relu(x)  y = MaxPool<kernel_shape = [1, 1], strides = [2, 2], dilations = [1, 2], ceil_mode = 1>(a) }""")
    typed = to_half_model(source, [])
    assert [node.op_type for node in typed.graph.node] == ["Cast", "Relu", "MaxPool", "Cast"]
    session = onnxruntime.InferenceSession(typed.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.arange(30, dtype=np.float32).reshape(1, 1, 5, 6)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], x[:, :, ::2, ::2])


def test_all_nodes_kept_leaves_the_model_as_it_was(model, casts):
    source = model(CHAIN)
    typed = to_half_model(source, ["a", "b", "y"])
    assert casts(typed) == []
    assert list(typed.graph.node) == list(source.graph.node)


@pytest.mark.parametrize("keep_io, expected", [(True, TensorProto.FLOAT), (False, TensorProto.FLOAT16)])
def test_the_border_keeps_its_names_and_takes_the_asked_type(model, types, keep_io, expected):
    source = model(
        "g (float[2] x, int64[2] i) => (float[2] y, float[2] z, int64[2] j) { y = Relu(x)  z = Neg(y)  j = Neg(i) }"
    )
    for keep in ([], ["y"], ["z"], ["y", "z"]):
        typed = to_half_model(source, keep, keep_io=keep_io)
        types(typed)
        border = [(v.name, v.type.tensor_type.elem_type) for v in (*typed.graph.input, *typed.graph.output)]
        integer = TensorProto.INT64
        assert border == [("x", expected), ("i", integer), ("y", expected), ("z", expected), ("j", integer)]


def test_consumers_share_one_cast_per_direction(model, casts):
    typed = to_half_model(
        model("""g (float[2] x) => (float[2] y)
      { a = Relu(x)  b = Exp(a)  c = Neg(a)  d = Abs(a)  e = Add(b, c)  f = Sin(e)  h = Add(e, d)  y = Add(f, h) }"""),
        ["b", "c", "f"],
    )
    assert casts(typed) == ["a/to_f16", "a/to_f32", "b/to_f16", "c/to_f16", "e/to_f32", "f/to_f16", "y/to_f32"]


MOVEMENT = {
    "Reshape": "m = Reshape(a, shape)", "Transpose": "m = Transpose(a)", "Slice": "m = Slice(a, zero, one)",
    "Gather": "m = Gather(a, zero)", "Expand": "m = Expand(a, shape4)", "Squeeze": "m = Squeeze(a3, one)",
    "Unsqueeze": "m = Unsqueeze(a, zero)", "Identity": "m = Identity(a)", "Tile": "m = Tile(a, two)",
    "Flatten": "m = Flatten(a)", "Concat": "m = Concat<axis = 0>(a, a, w)", "Pad": "m = Pad(a, pads, fill)",
    "Where": "m = Where(c, a, fill)", "Split": "m, n = Split<axis = 1, num_outputs = 2>(a)",
    "DepthToSpace": "m = DepthToSpace<blocksize = 1>(a4)", "ScatterND": "m = ScatterND(a, index, row)",
}  # fmt: skip


@pytest.mark.parametrize("op", MOVEMENT)
@pytest.mark.parametrize("kind", ["f16", "f32"])
def test_data_movement_follows_its_producer_and_needs_no_cast(model, types, casts, emulated, op, kind):
    source = model(f"""g (float[2, 4] x, bool[2, 4] c) => (float[?] y)
      <int64[1] flat = {{-1}}, int64[2] shape = {{4, 2}}, int64[1] zero = {{0}}, int64[1] one = {{1}},
      int64[3] shape4 = {{2, 2, 4}},
       int64[2] two = {{2, 2}}, int64[4] pads = {{0, 1, 0, 1}}, float fill = {{0.1}}, float[1, 4] w = {{0.1, 2, 3, 4}},
       int64[1, 1] index = {{1}}, float[1, 4] row = {{1, 2, 3, 4}}, int64[4] s4 = {{1, 1, 2, 4}}, int64[3] s3 = {{2,
       1, 4}}>
      {{ a = Exp(x)  a3 = Reshape(a, s3)  a4 = Reshape(a, s4)  {MOVEMENT[op]}  r = Neg(m)  y = Reshape(r, flat) }}""")
    keep = ["a", "r"] if kind == "f32" else []
    typed = to_half_model(source, keep)
    found = types(typed)
    assert found["a"] == found["m"] == found["r"] == kind
    assert casts(typed) == ([] if keep else ["a/to_f16", "y/to_f32"])
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    condition = x > 0.3
    truth = onnx.reference.ReferenceEvaluator(source).run(None, {"x": x, "c": condition})[0]
    np.testing.assert_allclose(emulated(typed, x=x, c=condition)[0], truth, rtol=2e-3)


def test_a_split_of_fp32_data_for_fp16_nodes_is_cast_once_before_it(model, types, casts):
    typed = to_half_model(
        model("""g (float[2, 4] x) => (float[2, 2] y)
      { a = Exp(x)  p, q = Split<axis = 1, num_outputs = 2>(a)  r = Neg(p)  s = Abs(q)  y = Add(r, s) }"""),
        ["a"],
    )
    assert types(typed)["p"] == "f16"
    assert casts(typed) == ["a/to_f16", "y/to_f32"]


def test_fp32_data_stays_fp32_while_an_fp32_node_waits_behind_the_movement(model, types, casts):
    typed = to_half_model(
        model("""g (float[2, 2] x) => (float[2, 2] y)
      { a = Exp(x)  m = Transpose(a)  b = Sin(m)  c = Neg(m)  y = Add(b, c) }"""),
        ["a", "b"],
    )
    assert types(typed) == {"a": "f32", "m": "f32", "b": "f32", "c": "f16", "y": "f16"}
    assert casts(typed) == ["m/to_f16", "b/to_f16", "y/to_f32"]


def test_only_float32_is_touched(model, types, casts):
    source = model("""g (int64[2] i, double[2] d, bool[2] b, float16[2] h, float[2] x) => (int64[2] j, double[2] e,
      bool[2] c, float16[2] k, float[2] y)
      { j = Neg(i)  e = Neg(d)  c = Not(b)  k = Neg(h)  y = Neg(x) }""")
    typed = to_half_model(source, [])
    assert casts(typed) == ["y/to_f16", "y/to_f32"]
    assert [n for n in typed.graph.node if n.name in "jeck"] == [n for n in source.graph.node if n.name in "jeck"]


def test_weights_are_converted_once_per_type_and_keep_their_names(model):
    typed = to_half_model(
        model(
            """g (float[2] x) => (float[2] y) <float[2] w = {1.5, 2}, float[2] v = {1, 1}, int64[1] i = {0}>
      { a = Add(x, w)  b = Mul(a, w)  c = Mul(b, w)  d = Add(c, v)  y = Gather(d, i) }""".replace(
                "float[2] y", "float[1] y"
            )
        ),
        ["b"],
    )
    assert {name: array.dtype.name for name, array in constants(typed).items()} == {
        "w": "float32", "w/to_f16": "float16", "v": "float16", "i": "int64",
    }  # fmt: skip


def typed_and_warnings(source):
    result = convert(source, decisions=())
    return result.model, list(result.warnings)


def test_weights_beyond_the_range_saturate_and_are_named(model):
    source = model("g (float[3] x) => (float[3] y) <float[3] big = {1e6, -7e4, 3}> { y = Mul(x, big) }")
    typed, warnings = typed_and_warnings(source)
    np.testing.assert_array_equal(constants(typed)["big"], np.array([65504, -65504, 3], HALF))
    assert warnings == ["weight 'big': 2 of 3 values exceed FP16's +-65504 (largest 1e+06) and were set to it"]


def test_a_clip_bound_beyond_the_range_saturates_in_silence(model, types):
    source = model("g (float[3] x) => (float[3] y) <float low = {0}, float high = {3e38}> { y = Clip(x, low, high) }")
    typed, warnings = typed_and_warnings(source)
    assert types(typed) == {"y": "f16"} and constants(typed)["high"] == 65504 and warnings == []


def test_a_non_zero_constant_never_becomes_zero(model):
    source = model(
        "g (float[3] x) => (float[3] y) <float[3] w = {1e-9, -1e-30, 0}, float e = {1e-12}> { a = Mul(x, w)"
        "  y = Add(a, e) }"
    )
    typed, warnings = typed_and_warnings(source)
    typed = constants(typed)
    np.testing.assert_array_equal(typed["w"], np.array([2**-24, -(2.0**-24), 0], HALF))
    assert typed["e"] == HALF(2**-24)
    assert warnings == ["constant 'e' is 1e-12, below FP16's smallest number, and became 5.96e-08"]


def test_infinities_and_nan_stay(model):
    source = model("g (float[3] x) => (float[3] y) <float[3] w = {1, 2, 3}> { y = Add(x, w) }")
    source.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.array([np.inf, -np.inf, np.nan], np.float32), "w"))
    np.testing.assert_array_equal(constants(to_half_model(source, []))["w"], np.array([np.inf, -np.inf, np.nan], HALF))


def test_the_users_casts_keep_their_meaning(model, types, emulated):
    source = model("""g (float[4] x) => (float[4] y, int32[4] i, double[4] d)
      { a = Neg(x)  i = Cast<to = 6>(a)  d = Cast<to = 11>(a)  f = Cast<to = 1>(i)  h = Cast<to = 10>(a)
      s = Cast<to = 1>(h)  b = Add(f, s)  y = Abs(b) }""")
    typed = to_half_model(source, [])
    assert types(typed)["f"] == "f16", "an integer that only FP16 nodes read is cast to FP16 at once"
    y, i, d = emulated(typed, x=np.array([1.75, -3.5, 7, 0.1], np.float32))
    assert i.tolist() == [-1, 3, -7, 0]
    np.testing.assert_array_equal(d, -np.array([1.75, -3.5, 7, np.float16(0.1)], np.float64))
    assert y.tolist() == [2.75, 6.5, 14, HALF(0.1)]


def test_only_the_exact_pair_of_casts_is_removed(model):
    widened = model("g (float16[2] h) => (float16[2] y) { f = Cast<to = 1>(h)  a = Neg(f)  y = Cast<to = 10>(a) }")
    operators = [n.op_type for n in to_half_model(widened, []).graph.node]
    assert operators == ["Neg", "Cast"], "f16 -> f32 -> f16 gives the value back"
    narrowed = model("g (float[2] x) => (float[2] y) { h = Cast<to = 10>(x)  f = Cast<to = 1>(h)  y = Neg(f) }")
    operators = [n.op_type for n in to_half_model(narrowed, ["y"]).graph.node]
    assert operators == ["Cast", "Cast", "Neg"], "f32 -> f16 -> f32 rounds"


def test_a_cast_to_fp32_of_an_output_is_skipped_by_a_16_bit_reader(model):
    """The output ``a`` is FP32: ``y`` reads the 16-bit tensor from which it is cast."""
    source = model("g (float[2] x) => (float[2] a, float[2] y) { a = Exp(x)  f = Cast<to = 1>(a)  y = Neg(f) }")
    typed = to_half_model(source, [])
    assert next(node for node in typed.graph.node if node.op_type == "Neg").input == ["a/to_f16"]


def test_control_flow_that_is_kept_is_fp32_and_its_bodies_read_fp32(model, types, casts, emulated):
    source = model("""g (float[2] x, bool c) => (float[2] y) <float[2] w = {2, 3}> {
      a = Exp(x)  v = Mul(a, w)
      b = If(c) <
        then_branch = t () => (float[2] p) { q = Mul(a, w)  p = Neg(q) },
        else_branch = e () => (float[2] r) { r = Identity(v) }>
      y = Abs(b) }""")
    typed = to_half_model(source, ["b"])
    assert types(typed) == {"a": "f16", "v": "f16", "b": "f32", "y": "f16"}
    assert casts(typed) == ["a/to_f16", "a/to_f32", "v/to_f32", "b/to_f16", "y/to_f32"]
    assert constants(typed)["w"].dtype == np.float32
    for condition in (True, False):
        y = emulated(typed, x=np.array([0.5, 1], np.float32), c=np.array(condition))[0]
        np.testing.assert_allclose(y, np.exp([0.5, 1]) * [2, 3], rtol=2e-3)


CONSTRAINED = {
    "Resize": ("r = Resize<mode = \"linear\">(a, roi, scales)", {"r": "f16"}, {"scales": "float32", "roi": "float32"}),
    "TopK": ("r, i = TopK(a, k)", {"r": "f16"}, {"k": "int64"}),
    "Pad": ("r = Pad(a, pads, fill)", {"r": "f16"}, {"fill": "float16"}),
    "Clip": ("r = Clip(a, fill, top)", {"r": "f16"}, {"fill": "float16", "top": "float16"}),
    "Range": ((
"n = Range(fill, top, step)  m = ReduceSum(n)"
"  r = Mul(a, m)"
), {"n": "f32", "r": "f16"}, {"step": "float32"}),
    "BatchNormalization": ("r = BatchNormalization(a, s, s, s, s)", {"r": "f16"}, {"s": "float16"}),
    "RandomNormalLike": ("n = RandomNormalLike<dtype = 1>(a)  r = Add(a, n)", {"n": "f32", "r": "f16"}, {}),
    "ConstantOfShape": ((
"h = Shape(a)  n = ConstantOfShape<value = float[1] {0.1}>(h)"
"  r = Add(a, n)"
), {"n": "f16", "r": "f16"}, {}),
    "LayerNormalization": ("r, m, d = LayerNormalization(a, t, t)", {"r": "f16"}, {"t": "float16"}),
    "QuantizeLinear": ("q = QuantizeLinear(a, step)  r = DequantizeLinear(q, step)", {"r": "f32"}, {"step": "float32"}),
    "CumSum": ("r = CumSum(a, axis)", {"r": "f16"}, {"axis": "int64"}),
    "Dropout": ("r, mask = Dropout(a, step)", {"r": "f16"}, {"step": "float16"}),
    "NonMaxSuppression": ((
"b = Reshape(a, boxes)  s1 = ReduceMax(b, one)  p = Reshape(s1, score)"
"  n = NonMaxSuppression(b, p)  r = Neg(a)"
), {"r": "f16"}, {}),
}  # fmt: skip


@pytest.mark.parametrize("op", CONSTRAINED)
def test_type_constraints_of_operators_are_respected(model, types, op):
    body, nodes, weights = CONSTRAINED[op]
    source = model(
        f"""g (float[1, 2, 4, 4] x) => (float[?, ?, ?, ?] y)
      <float[4] scales = {{1, 1, 2, 2}}, float[8] roi = {{0, 0, 0, 0, 1, 1, 1, 1}}, int64[1] k = {{2}},
      float fill = {{0}}, float top = {{6}},
       int64[8] pads = {{0, 0, 1, 1, 0, 0, 1, 1}}, float step = {{0.5}}, float[2] s = {{1, 2}}, float[4] t = {{1, 2,
       3, 4}},
       int64 axis = {{1}}, int64[3] boxes = {{1, 8, 4}}, int64[3] score = {{1, 1, 4}}, int64[1] one = {{1}}>
      {{ a = Relu(x)  {body}  y = Neg(r) }}""".replace(
            "b = Reshape(a, boxes)  s1 = ReduceMax(b, one)  p = Reshape(s1, score)",
            "b = Reshape(a, boxes)  s0 = Transpose<perm = [0, 2, 1]>(b)  p = Slice(s0, zero, one, one)",
        ).replace("int64 axis", "int64[1] zero = {0}, int64 axis")
    )
    typed = to_half_model(source, [])
    found = types(typed)
    assert {name: found[name] for name in nodes} == nodes
    dtypes = {name: array.dtype.name for name, array in constants(typed).items()}
    assert {name: dtypes[name] for name in weights} == weights


@pytest.mark.parametrize("keep, kind", [([], "f16"), (["y"], "f32")])
def test_image_and_grid_of_grid_sample_have_one_type(model, types, keep, kind):
    source = model("""g (float[1, 2, 4, 4] x, float[1, 3, 3, 2] grid) => (float[1, 2, 3, 3] y)
      { a = Relu(x)  b = Tanh(grid)  y = GridSample(a, b) }""")
    for more in ([], ["a"], ["b"]):
        typed = to_half_model(source, [*keep, *more])
        types(typed)
        declared = {v.name: v.type.tensor_type.elem_type for v in typed.graph.value_info}
        image, grid = next(node for node in typed.graph.node if node.op_type == "GridSample").input
        assert declared[image] == declared[grid] == (TensorProto.FLOAT if kind == "f32" else TensorProto.FLOAT16)


@pytest.mark.parametrize("opset", [13, 15, 16, 18, 20, 21, 23])
def test_every_opset_from_13_to_23_is_taken(model, types, opset):
    assert set(types(to_half_model(model(CHAIN, opset=opset), ["b"])).values()) == {"f16", "f32"}


@pytest.mark.parametrize("keep", [[], ["b"], ["a", "c"]])
def test_converting_twice_changes_nothing(model, keep):
    source = model("""g (float[2, 4] x) => (float[4, 2] y, int64[2] i) <float[4] w = {1, 2, 3, 4}>
      { a = Mul(x, w)  b = Softmax(a)  c = Mul(b, w)  y = Transpose(c)  i = ArgMax<axis = 1, keepdims = 0>(c) }""")
    once = to_half_model(source, keep)
    assert to_half_model(once, keep) == once


def test_unnamed_and_doubly_named_nodes_and_taken_names_get_unique_ones(model):
    source = model(
        'g (float[2] x) => (float[2] y) { [same] a = Relu(x)  [same] b = Neg(a)  ["same/to_f16"] c = Abs(b)'
        "  y = Exp(c) }"
    )
    source.graph.node[3].name = ""
    names = [node.name for node in to_half_model(source, ["same"]).graph.node]
    assert len(set(names)) == len(names) and {"same", "same_1", "Exp", "same/to_f16", "same/to_f16_1"} <= set(names)


def test_constants_as_nodes_become_weights(model, types):
    source = model("g (float[2] x) => (float[2] y) { w = Constant<value_floats = [2.0, 3.0]>()  y = Mul(x, w) }")
    typed = to_half_model(source, [])
    assert types(typed) == {"y": "f16"} and constants(typed)["w"].dtype == HALF


def test_local_functions_are_inlined(types):
    source = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18, "own" : 1]>
      g (float[2] x) => (float[2] y) { y = own.twice(x) }
      <domain: "own", opset_import: ["" : 18]> twice (a) => (b) { b = Add(a, a) }""")
    assert list(types(to_half_model(source, [])).values()) == ["f16"]


def test_the_given_model_is_not_changed(model):
    source = model(CHAIN)
    before = source.SerializeToString()
    to_half_model(source, ["b"])
    assert source.SerializeToString() == before


def test_what_cannot_be_converted_is_said(model):
    with pytest.raises(InputError, match="node 'nope' is not in the model"):
        to_half_model(model(CHAIN), ["nope"])
    with pytest.raises(InputError, match="opset 12"):
        to_half_model(model(CHAIN, opset=12), [])
    own = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18, "attnexport" : 1]>
      g (float[2] x, int64[1] by) => (float[2] y) { a = attnexport.Roll<axis = 0>(x, by)  y = Neg(a) }""")
    with pytest.raises(InputError, match=r"is still attnexport::Roll\. lower the model"):
        to_half_model(own, [])
    foreign = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 18, "other" : 1]>
      g (float[2] x) => (float[2] y) { a = other.Thing(x)  y = Neg(a) }""")
    with pytest.raises(InputError, match=r"other::Thing.*lower the model"):
        to_half_model(foreign, [])
    with pytest.raises(StageError, match="precision: shape inference failed"):
        broken = onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["" : 18]> g (float[2] x) => (float[2] y) { a = Concat<axis = 7>(x)'
            "  y = Neg(a) }"
        )
        to_half_model(broken, [])
