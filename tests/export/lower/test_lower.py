"""lower(): what it leaves as it was, what it records, what it reaches, and what it refuses."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from attnexport.errors import InputError, StageError, UnsupportedModelError
from attnexport.export.domain import DOMAIN, OPERATORS, VERSION, add_bodies
from attnexport.export.graph.origin import Origin, origin_of
from attnexport.export.lower import LOWERINGS, Applied, lower
from attnexport.export.targets import target_names

FLOAT = TensorProto.FLOAT
IMPORTS = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, VERSION)]


def roll(source: str, result: str, name: str = "", axis: int = 1) -> onnx.NodeProto:
    return helper.make_node("Roll", [source, "shift"], [result], name=name, domain=DOMAIN, axis=axis)


def model_of(nodes: list[onnx.NodeProto], **options) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("y", FLOAT, ["batch", 6])],
        [onnx.numpy_helper.from_array(np.array([2]), "shift")],
    )
    return helper.make_model(graph, opset_imports=IMPORTS, ir_version=10, **options)


def run(model: onnx.ModelProto, **feeds: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


X = np.arange(12, dtype=np.float32).reshape(2, 6)


def test_everything_else_stays() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"], name="act/relu"), roll("r", "y", "attn/roll")]
    model = model_of(nodes, producer_name="torch", doc_string="a model")
    model.metadata_props.add(key="tool", value="attnexport")
    before = model.SerializeToString()
    result = lower(model, ("ort", "tensorrt"))
    assert model.SerializeToString() == before, "the argument is not changed"
    assert list(result.model.graph.input) == list(model.graph.input)
    assert list(result.model.graph.output) == list(model.graph.output)
    assert [(entry.domain, entry.version) for entry in result.model.opset_import] == [("", 18)]
    assert (result.model.ir_version, result.model.producer_name, result.model.doc_string) == (10, "torch", "a model")
    assert [(entry.key, entry.value) for entry in result.model.metadata_props] == [("tool", "attnexport")]
    assert [node.name for node in result.model.graph.node] == [
        "act/relu", "attn/roll/slice", "attn/roll/slice_2", "attn/roll/concat",
    ]  # fmt: skip
    assert result.model.graph.node[-1].output == ["y"]
    assert result.applied == [Applied("attn/roll", "Roll", "roll_slices", {}, target_names())]
    np.testing.assert_array_equal(run(result.model, x=X), np.roll(X, 2, 1))


def test_the_interface_is_kept_to_the_letter() -> None:
    model = model_of([roll("x", "y", "attn/roll")])
    model.graph.input[0].doc_string = "the tokens"
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, ["batch", "tokens"], "shifted"))
    kept = lower(model, ["ort"]).model.graph
    assert list(kept.input) == list(model.graph.input)
    assert list(kept.output) == list(model.graph.output)


def test_new_nodes_lead_back_to_their_origin_and_carry_types() -> None:
    model = lower(model_of([roll("x", "y", "attn/roll")]), ["ort"]).model
    origins = {"attn/roll": Origin("attn", "Shift", "net.py:3")}
    assert all(origin_of(node.name, origins) == origins["attn/roll"] for node in model.graph.node)
    values = {value.name for value in model.graph.value_info}
    assert {output for node in model.graph.node for output in node.output} - {"y"} <= values


def test_nodes_without_a_name_of_their_own_are_named_by_their_output() -> None:
    result = lower(model_of([roll("x", "a"), roll("a", "b", "same"), roll("b", "y", "same")]), ["ort"])
    assert [applied.node for applied in result.applied] == ["a", "b", "y"]
    names = [node.name for node in result.model.graph.node]
    assert len(set(names)) == len(names)
    np.testing.assert_array_equal(run(result.model, x=X), np.roll(X, 6, 1))


def test_bodies_are_taken_out_first() -> None:
    result = lower(add_bodies(model_of([roll("x", "y", "attn/roll")])), ["ort"])
    assert not result.model.functions
    assert result.model.opset_import[0].domain == ""


def test_a_model_without_domain_nodes_is_returned_as_it_is() -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])])
    result = lower(model, ["ort"])
    assert result.applied == []
    assert list(result.model.graph.node) == list(model.graph.node)
    assert [entry.domain for entry in result.model.opset_import] == [""]


def test_branches_are_lowered_too() -> None:
    def branch(name: str, axis: int) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{name}_y", FLOAT, ["batch", 6])
        return helper.make_graph([roll("x", f"{name}_y", f"{name}/roll", axis)], name, [], [out])

    choice = helper.make_node(
        "If", ["c"], ["y"], "choice", then_branch=branch("then", 0), else_branch=branch("else", 1)
    )
    model = model_of([choice])
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    result = lower(model, ["ort"])
    assert sorted(applied.node for applied in result.applied) == ["else/roll", "then/roll"]
    x = np.arange(18, dtype=np.float32).reshape(3, 6)
    np.testing.assert_array_equal(run(result.model, x=x, c=np.array(True)), np.roll(x, 2, 0))
    np.testing.assert_array_equal(run(result.model, x=x, c=np.array(False)), np.roll(x, 2, 1))


def test_loop_bodies_are_lowered_too() -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["more"]), roll("state", "next", "body/roll")],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", FLOAT, ["batch", 6]),
        ],
        [
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", FLOAT, ["batch", 6]),
        ],
    )
    model = model_of([helper.make_node("Loop", ["trips", "", "x"], ["y"], "loop", body=body)])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(2), "trips"))
    result = lower(model, ["ort"])
    assert [applied.node for applied in result.applied] == ["body/roll"]
    np.testing.assert_array_equal(run(result.model, x=X), np.roll(X, 4, 1))


def test_local_functions_are_lowered_by_inlining() -> None:
    shift = helper.make_function(
        "mine", "Shift", ["a", "shift"], ["b"], [roll("a", "b", "inner")], IMPORTS
    )  # fmt: skip
    model = model_of([helper.make_node("Shift", ["x", "shift"], ["y"], "call", domain="mine")])
    model.functions.append(shift)
    model.opset_import.append(helper.make_opsetid("mine", 1))
    result = lower(model, ["ort"])
    assert len(result.applied) == 1 and not result.model.functions
    np.testing.assert_array_equal(run(result.model, x=X), np.roll(X, 2, 1))


def test_a_value_that_is_used_twice_and_an_output_that_is_an_input_of_others() -> None:
    nodes = [roll("x", "a", "roll"), helper.make_node("Relu", ["a"], ["b"]), helper.make_node("Add", ["a", "b"], ["y"])]
    result = lower(model_of(nodes), ["ort"])
    np.testing.assert_array_equal(run(result.model, x=X), 2 * np.roll(X, 2, 1))


@pytest.mark.parametrize("targets", [["vulkan"], ["ort", "vulkan"], "vulkan"])
def test_unknown_target(targets) -> None:
    with pytest.raises(InputError, match=r"target vulkan is not known\. use ort-cpu, "):
        lower(model_of([roll("x", "y")]), targets)


def test_no_target() -> None:
    with pytest.raises(InputError, match=r"target \(none\) is not known"):
        lower(model_of([roll("x", "y")]), [])


def test_an_operator_without_lowering_is_named() -> None:
    rest = [lowering for lowering in LOWERINGS if lowering.op != "Roll"]
    with pytest.raises(UnsupportedModelError) as raised:
        lower(model_of([roll("x", "y", "attn/roll")]), ["tensorrt"], rest)
    expected = (
        "node 'attn/roll' (Roll) has no standard form for tensorrt-10, tensorrt-11, tensorrt-rtx (no lowering is known)"
    )
    assert raised.value.problem == expected
    assert raised.value.exit_code == 2


def test_shapes_that_contradict_each_other() -> None:
    model = model_of([roll("x", "y", "attn/roll")])
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, ["batch", 5]))
    with pytest.raises(StageError, match=r"lower: shapes do not fit together: .*attn/roll"):
        lower(model, ["ort"])


WINDOW = {"kernel": [3, 2], "dilation": [1, 1], "pads": [1, 1, 1, 1], "stride": [2, 1]}
SAMPLING = {"mode": "bilinear", "padding_mode": "reflection", "align_corners": 0}


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("opset", [18, 19, 20, 21, 22, 23])
@pytest.mark.parametrize(
    ("op", "inputs", "attrs"),
    [
        ("Im2Col", {"x": values(2, 3, 6, 5)}, WINDOW),
        ("Im2Col", {"x": values(2, 3, 6, 5)}, WINDOW | {"stride": [3, 2]}),
        ("Unfold", {"x": values(2, 9)}, {"axis": 1, "size": 3, "step": 2}),
        ("Unfold", {"x": values(2, 9)}, {"axis": 1, "size": 4, "step": 4}),
        ("Col2Im", {"cols": values(2, 18, 18), "output_size": np.array([6, 4])}, WINDOW | {"pads": [1, 1, 0, 2]}),
        ("GridSample", {"x": values(2, 3, 6, 5), "grid": values(2, 3, 4, 2)}, SAMPLING),
        ("GridSample3d", {"x": values(2, 3, 2, 6, 5), "grid": values(2, 2, 3, 4, 3)}, SAMPLING),
        ("AffineGrid", {"theta": values(2, 2, 3), "size": np.array([2, 1, 4, 5])}, {"align_corners": 0}),
        ("Roll", {"x": values(2, 9), "shift": np.array([4])}, {"axis": 1}),
    ],
)
def test_every_operator_at_later_opsets(opset, op, inputs, attrs, lowered) -> None:
    dynamic = {"theta0"} if op == "AffineGrid" else {"cols0", "cols2"} if op == "Col2Im" else True
    lowered(op, inputs, attrs, dynamic=dynamic, opset=opset).check(inputs, atol=1e-5)


def test_the_list_names_each_lowering_once_and_leaves_no_operator_out() -> None:
    names = [lowering.name for lowering in LOWERINGS]
    assert len(set(names)) == len(names)
    assert {lowering.op for lowering in LOWERINGS} == set(OPERATORS)
