"""ONNX files: external data stays in the folder, inputs come from the graph, and what cannot be run is named."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper


def described(source):
    return [s.describe() for s in source.inputs]


def graph_shape(source):
    return [d.dim_param or d.dim_value for d in source.model.graph.input[0].type.tensor_type.shape.dim]


@pytest.mark.parametrize(
    ("shape", "options", "expected", "explicit"),
    [
        ([2, 3], {}, ["x float32 [2, 3]"], False),
        (["N", 3], {}, ["x float32 [N=1:4:16, 3]"], False),
        ([None, 3], {}, ["x float32 [batch=1:4:16, 3]"], False),
        (["N", 3], {"inputs": ("x=8x3",)}, ["x float32 [N=1:8:32, 3]"], False),
        (["N", 3], {"inputs": ("x=8x3",), "static": True}, ["x float32 [8, 3]"], False),
        (["N", 3], {"dynamic": ("x:0=2:4:6",)}, ["x float32 [N=2:4:6, 3]"], True),
        (["N", "L", 3], {"inputs": ("x=2x7x3",)}, ["x float32 [N=1:2:16, 7, 3]"], False),
        (["N", "L", 3], {"dynamic": ("x:1=l=2:4:6",)}, ["x float32 [N=1:4:16, l=2:4:6, 3]"], True),
        (["N", "N", 3], {"dynamic": ("x:1=2:4:6",)}, ["x float32 [N=2:4:6, N=2:4:6, 3]"], True),
    ],
)
def test_inputs(make_onnx, accepted, shape, options, expected, explicit):
    source = accepted(make_onnx(shape), **options)
    assert (source.kind, source.outputs) == ("onnx", ("y",))
    assert (described(source), source.explicit_dynamic) == (expected, explicit)
    assert graph_shape(source) == list(source.inputs[0].symbols)
    feed = np.random.default_rng(0).normal(size=source.inputs[0].shape("opt")).astype(np.float32)
    session = onnxruntime.InferenceSession(source.model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": feed})[0], feed + np.array([1, 2, 3], np.float32))


def test_stale_shapes_are_dropped(make_onnx, accepted):
    path = make_onnx(nodes=[helper.make_node("Add", ["x", "w"], ["h"]), helper.make_node("Neg", ["h"], ["y"])])
    onnx.save(onnx.shape_inference.infer_shapes(onnx.load(path)), path)
    assert onnx.load(path).graph.value_info[0].name == "h"
    source = accepted(path, inputs=("x=5x3",), static=True)
    assert not source.model.graph.value_info
    again = onnx.shape_inference.infer_shapes(source.model, strict_mode=True)
    assert [d.dim_value for d in again.graph.value_info[0].type.tensor_type.shape.dim] == [5, 3]


def test_token_ids_take_the_bounds_that_are_given(make_onnx, accepted):
    nodes = [helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT), helper.make_node("Add", ["h", "w"], ["y"])]
    path = make_onnx(elem=TensorProto.INT64, nodes=nodes)
    (spec,) = accepted(path, inputs=("x=2x3:int64:0..40",)).inputs
    assert (spec.dtype, spec.low, spec.high) == ("int64", 0, 40)


def test_a_symbol_spreads_over_inputs(make_onnx, accepted):
    source = accepted(make_onnx(["N", 3], second=["L", "N"]), dynamic=("x:0=2:4:6", "z:0=1:2:3"))
    assert described(source) == ["x float32 [N=2:4:6, 3]", "z float32 [L=1:2:3, N=2:4:6]"]


@pytest.mark.parametrize(
    ("shape", "options", "fragment"),
    [
        (["N", "L", 3], {}, "axis 1 of input 'x' of model.onnx is free (L) and has no range"),
        (["N", 3], {"static": True}, "add --input x=SIZES to fix it"),
        (["N", 3], {"inputs": ("x=1x4",)}, "gives 'x' the sizes 1x4. model.onnx takes Nx3"),
        (["N", 3], {"inputs": ("x=1x3:int64",)}, "the dtype int64"),
        (["N", 3], {"inputs": ("y=1x3",)}, "--input names 'y'"),
        (["N", 3], {"dynamic": ("x:1=1:2:3",)}, "has the fixed size 3"),
        (["N", 3], {"dynamic": ("x:4=1:2:3",)}, "names axis 4 of 'x'"),
        (["N", 3], {"arch": "digits_sasa"}, "contains its architecture"),
        ([0, 3], {}, "has an axis of size 0"),
    ],
)
def test_inputs_that_do_not_fit(make_onnx, refused, here, shape, options, fragment):
    assert fragment in refused(make_onnx(shape), **options).replace(f"{here}/", "")


def test_half_and_bfloat16_inputs(here, accepted, refused):
    for elem, name in [(TensorProto.FLOAT16, "float16"), (TensorProto.BFLOAT16, None)]:
        graph = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", elem, [2])],
            [helper.make_tensor_value_info("y", elem, [2])],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), here / "h.onnx")
        if name:
            assert described(accepted(here / "h.onnx")) == ["x float16 [2]"]
        else:
            assert "input 'x' of" in (message := refused(here / "h.onnx")) and "is bfloat16" in message


def test_external_data_inside_the_folder(make_onnx, here, accepted):
    (here / "data").mkdir()
    (here / "data" / "w.bin").write_bytes(np.array([4, 5, 6], np.float32).tobytes())
    source = accepted(make_onnx(external="data/w.bin"))
    np.testing.assert_array_equal(numpy_helper.to_array(source.model.graph.initializer[0]), [4, 5, 6])


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/hostname", "a/../../w.bin", "C:\\w.bin", "..\\w.bin", "link/w.bin", "w.link", ""]
)
def test_external_data_outside_the_folder(make_onnx, here, refused, location, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "w.bin").write_bytes(b"\0" * 12)
    (here / "link").symlink_to(outside)
    (here / "w.link").symlink_to(outside / "w.bin")
    message = refused(make_onnx(external=location))
    assert "tensor 'w'" in message
    assert "outside the model's folder" in message


def test_external_data_in_an_attribute_and_a_function(here, refused):
    """Not only initialisers can point outside."""
    value = numpy_helper.from_array(np.ones(3, np.float32), "hidden")
    value.ClearField("raw_data")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="../w.bin")
    constant = helper.make_node("Constant", [], ["w"], value=value)
    add = helper.make_node("Add", ["x", "w"], ["y"])
    border = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in "xy"]
    imports = [helper.make_opsetid("", 18)]
    plain = helper.make_model(
        helper.make_graph([constant, add], "g", border[:1], border[1:]), opset_imports=imports, ir_version=8
    )
    function = helper.make_function("own", "F", ["x"], ["y"], [constant, add], imports)
    call = helper.make_graph([helper.make_node("F", ["x"], ["y"], domain="own")], "g", border[:1], border[1:])
    nested = helper.make_model(
        call, functions=[function], opset_imports=[*imports, helper.make_opsetid("own", 1)], ir_version=8
    )
    for model in (plain, nested):
        (here / "m.onnx").write_bytes(model.SerializeToString())
        assert "tensor 'hidden'" in refused(here / "m.onnx")


def test_missing_and_short_external_data(make_onnx, here, refused):
    assert "the data file 'w.bin' of" in refused(make_onnx(external="w.bin"))
    (here / "w.bin").write_bytes(b"\0" * 8)
    assert "is too short for tensor 'w'" in refused(make_onnx(external="w.bin"))


def test_opsets(make_onnx, refused, accepted):
    assert "is of opset 6, below 7" in (message := refused(make_onnx(opset=6)))
    assert "convert_version" in message
    assert "newer than onnx" in refused(make_onnx(opset=99))
    assert accepted(make_onnx(opset=7)).kind == "onnx"


def test_weights_among_the_inputs_are_constants(make_onnx, accepted):
    path = make_onnx(opset=8)
    model = onnx.load(path)
    model.ir_version = 3
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    present = {value.name for value in model.graph.input}
    model.graph.input.extend(
        helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
        for name, tensor in weights.items()
        if name not in present
    )
    onnx.save(model, path)
    source = accepted(path)
    assert [value.name for value in source.model.graph.input] == [spec.name for spec in source.inputs] == ["x"]
    onnx.checker.check_model(source.model)


def test_custom_operators(make_onnx, refused, accepted):
    node = [helper.make_node("DeformAttn", ["x", "w"], ["y"], domain="mmdeploy")]
    assert "mmdeploy::DeformAttn" in refused(make_onnx(nodes=node, domains=("mmdeploy",)))
    gelu = [helper.make_node("BiasGelu", ["x", "w"], ["y"], domain="com.microsoft")]
    source = accepted(make_onnx(nodes=gelu, domains=("com.microsoft",)))
    assert list(source.notes) == ["operators of ONNX Runtime only, which TensorRT may refuse: com.microsoft::BiasGelu"]


def test_not_a_valid_model(make_onnx, here, refused):
    assert "is not a valid ONNX model" in refused(make_onnx(nodes=[helper.make_node("Add", ["x", "gone"], ["y"])]))
    content = make_onnx().read_bytes()
    for name, data in [
        ("cut.onnx", content[: len(content) // 2]),
        ("noise.onnx", b"\x01\x02\x03\x04"),
        ("t.onnx", b"hello"),
    ]:
        (here / name).write_bytes(data)
        assert name in refused(here / name)


def test_nan_weight(make_onnx, refused):
    assert (
        "weight 'w' of" in (message := refused(make_onnx(weight=[1.0, float("nan"), 2.0])))
        and "NaN (1 values)" in message
    )


def nested_functions(depth, calls):
    """``f0`` is Relu; each further function calls the one before it ``calls`` times."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    functions = [helper.make_function("local", "f0", ["a"], ["t0"], [helper.make_node("Relu", ["a"], ["t0"])], opsets)]
    for place in range(1, depth):
        names = ["a", *(f"t{n}" for n in range(1, calls + 1))]
        nodes = [
            helper.make_node(f"f{place - 1}", list(pair[:1]), list(pair[1:]), domain="local")
            for pair in pairwise(names)
        ]
        functions.append(helper.make_function("local", f"f{place}", ["a"], [names[-1]], nodes, opsets))
    return functions, opsets


def with_functions(path, functions, opsets, called):
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node(called, ["x"], ["y"], domain="local")], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9), path)
    return path


@pytest.mark.parametrize(
    ("depth", "calls", "said"),
    [
        (30, 2, "536,870,912 nodes with its functions written out, above 1,000,000"),
        (21, 2, "1,048,576 nodes"),
        (5, 40, "2,560,000 nodes"),
        (2000, 1, "functions nested over 100 deep"),
    ],
)
def test_functions_that_grow_without_bound_are_refused(tmp_path, refused, depth, calls, said):
    functions, opsets = nested_functions(depth, calls)
    assert said in refused(with_functions(tmp_path / "net.onnx", functions, opsets, f"f{depth - 1}"))


def test_functions_below_the_bound_are_read(tmp_path, accepted):
    functions, opsets = nested_functions(8, 2)
    assert accepted(with_functions(tmp_path / "net.onnx", functions, opsets, "f7")).outputs == ("y",)


def test_a_function_that_calls_itself_is_refused(tmp_path, refused):
    functions, opsets = nested_functions(3, 1)
    functions[0].node[0].op_type, functions[0].node[0].domain = "f2", "local"
    path = with_functions(tmp_path / "net.onnx", functions, opsets, "f2")
    assert "calls itself: local::f2 calls local::f1 calls local::f0 calls local::f2" in refused(path)
