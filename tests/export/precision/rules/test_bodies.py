"""Operators without an FP16 form stay FP32, in bodies too, as do bodies that cannot be typed."""

from __future__ import annotations

import onnx
import pytest

from attnexport.export.precision import decide


def decided(model) -> dict[str, str]:
    """Node to reason, of this rule alone."""
    return {d.node: d.reason for d in decide(model) if d.rule == "bodies"}


BRANCHES = (
    "y = If(c) <then_branch = t () => (float[2, 4] p) { p = Neg(x) }, else_branch = e () ="
    "> (float[2, 4] q) { q = Abs(x) }>"
)
SHELL = "g (float[2, 4] x, bool c) => (float[2, 4] y) <float a = {{0}}, float b = {{4}}, float d = {{1}}> {{ {} }}"


def test_control_flow_is_converted(model):
    assert decided(model(SHELL.format(BRANCHES))) == {}


def test_an_operator_without_an_fp16_form_stays_fp32_in_a_body(model):
    source = SHELL.format(BRANCHES.replace("p = Neg(x)", "r = Range(a, b, d)  p = Add(x, r)"))
    assert decided(model(source)) == {"Range": "Range has no FP16 form"}


def test_bodies_with_a_type_that_is_not_known_stay_fp32_as_a_whole(model):
    source = model(SHELL.format(BRANCHES))
    source.opset_import.append(onnx.helper.make_opsetid("custom", 1))
    branch = source.graph.node[0].attribute[0].g
    branch.node[0].input[0] = "r"
    branch.node.insert(0, onnx.helper.make_node("Twice", ["x"], ["r"], domain="custom"))
    assert decided(source) == {"y": "a type in the bodies of If is not known, so they stay FP32 as a whole"}


def test_an_operator_without_an_fp16_form_stays_fp32(model):
    assert decided(model(SHELL.format("r = Range(a, b, d)  y = Add(x, r)"))) == {"r": "Range has no FP16 form"}


@pytest.mark.parametrize(
    "body", ["y = Relu(x)", "s = Shape(x)  r = Range(zero, four, one)  t = Cast<to = 1>(r)  y = Add(x, t)"]
)
def test_other_operators_are_left(model, body):
    source = SHELL.format(body).replace(
        "float a = {0}", "int64 zero = {0}, int64 four = {4}, int64 one = {1}, float a = {0}"
    )
    assert decided(model(source)) == {}
