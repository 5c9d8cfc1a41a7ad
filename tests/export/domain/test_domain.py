"""The domain as a whole: its operators, registration, and bodies put in and taken out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper

from attnexport.export import domain

ROLL = {"axis": 1}
INPUTS = {"x": np.arange(6.0, dtype=np.float32).reshape(1, 6), "shift": np.array([2])}


def test_the_operators() -> None:
    assert (domain.DOMAIN, domain.VERSION) == ("attnexport", 1)
    assert set(domain.OPERATORS) == {
        "Im2Col", "Unfold", "Col2Im", "GridSample", "GridSample3d", "AffineGrid", "Roll",
        "AdaptiveAverage", "AdaptiveMax", "DeformConv",
        "LocalCorrelation", "LocalAggregate", "LocalAttention", "LocalOutlook", "Sdpa",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(domain.OPERATORS))
def test_body_and_schema_agree(name) -> None:
    operator = domain.OPERATORS[name]
    body = operator.body()
    assert (body.domain, body.name) == (domain.DOMAIN, name)
    assert list(body.input) == [parameter.name for parameter in operator.schema.inputs]
    declared = operator.schema.attributes
    assert set(body.attribute) == {key for key, attribute in declared.items() if attribute.required}
    optional = {key: attribute.default_value for key, attribute in declared.items() if not attribute.required}
    assert {attribute.name: attribute for attribute in body.attribute_proto} == optional
    assert {(entry.domain, entry.version) for entry in body.opset_import} == {("", 18)}


def test_registration_is_idempotent_and_the_process_ends_well() -> None:
    code = (
        "from attnexport.export import domain; import onnx; domain.register_schemas(); domain.register_schemas();"
        "print(onnx.defs.get_schema('Roll', 1, 'attnexport').has_type_and_shape_inference_function)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")


def test_bodies_go_in_once_and_come_out_again(one_node) -> None:
    model = one_node("Roll", INPUTS, ROLL, 2)
    before = model.SerializeToString()
    twice = domain.add_bodies(domain.add_bodies(model))
    assert [function.name for function in twice.functions] == ["Roll"]
    assert [entry.domain for entry in twice.opset_import] == ["", "attnexport"]
    assert model.SerializeToString() == before, "the argument is not changed"
    assert domain.strip_bodies(twice) == model


def test_a_model_without_domain_nodes_gets_nothing(one_node) -> None:
    model = one_node("Roll", INPUTS, ROLL, 2)
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Identity", ["x"], ["y"]))
    plain = domain.add_bodies(model)
    assert not plain.functions
    assert [entry.domain for entry in plain.opset_import] == [""]


def test_nodes_in_branches_are_found(one_node) -> None:
    inner = one_node("Roll", INPUTS, ROLL, 2).graph.node[0]
    branch = helper.make_graph(
        [inner], "branch", [], [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    )
    choice = helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph([choice], "outer", [], [])
    assert [node.op_type for node in domain.domain_nodes(graph)] == ["Roll", "Roll"]


def test_nodes_whose_text_differs_get_a_body_each_and_lose_the_mark_again(one_node) -> None:
    window = {"kernel": [3], "dilation": [1], "pads": [1, 1], "stride": [1]}
    x = np.zeros((1, 1, 1, 4), np.float32)
    model = one_node("LocalCorrelation", {"query": x, "key": x}, window, 4)
    model.graph.node.add().CopyFrom(model.graph.node[0])
    model.graph.node[1].output[0] = "z"
    model.graph.node[1].attribute.append(helper.make_attribute("compose", "absolute_difference"))
    model.ir_version = 8
    with_bodies = domain.add_bodies(model)
    assert [body.overload for body in with_bodies.functions] == ["absolute_difference", "product"]
    assert [node.overload for node in with_bodies.graph.node] == ["product", "absolute_difference"]
    assert with_bodies.ir_version == 10, "the first version with overloads"
    with_bodies.ir_version = 8
    assert domain.strip_bodies(with_bodies) == model
