"""Which roundings a model has, and which nodes must be FP32 together for each to be gone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import ModelProto

from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.search.roundings import roundings_of


def needs(model: ModelProto, *fixed: str) -> dict[str, set[str]]:
    return {source.key: set(source.needs) for source in roundings_of(GraphIndex(normalise(model)), fixed)}


def test_a_value_is_rounded_until_its_maker_and_all_its_readers_are_fp32(residual: ModelProto) -> None:
    found = needs(residual)
    # a -> Relu b, which only chooses -> c;  d -> Neg e and, behind Concat, g
    assert found["out:a"] == {"a", "b", "c"}
    assert found["out:d"] == {"d", "e", "g"}
    assert found["out:c"] == {"c", "d"}
    assert found["out:y"] == {"y"}
    assert {"out:b", "out:e"}.isdisjoint(found), "Relu and Neg give values that are rounded already"


def test_weights_and_fp32_inputs_are_roundings_of_their_reader(residual: ModelProto) -> None:
    found = needs(residual)
    assert {key for key in found if key.startswith("weight:")} == {"weight:a", "weight:c", "weight:h", "weight:y"}
    assert {key for key in found if key.startswith("in:")} == {"in:a", "in:d"}  # both read x


def test_what_a_fixed_node_makes_comes_in_as_fp32(residual: ModelProto) -> None:
    found = needs(residual, "a")
    assert "out:a" not in found and found["in:b"] == {"b"}
    assert found["out:b"] == {"b", "c"}  # Relu rounds itself now: nobody did before it


def test_exact_constants_are_no_rounding(weighted: Callable[..., ModelProto]) -> None:
    model = weighted("net (float[2] x, float[2] w) => (float[2] y) { y = Mul(x, w) }", w=np.array([0.5, 2048.0]))
    assert set(needs(model)) == {"out:y", "in:y"}


def test_movement_hands_on_and_adds_nothing(weighted: Callable[..., ModelProto]) -> None:
    text = """net (float[2, 3] x, int64[1] flat) => (float[6] y) {
        t = Transpose <perm=[1, 0]> (x)
        e = Exp(t)
        r = Reshape(e, flat)
        y = Tanh(r)
    }"""
    model = weighted(
        text.replace(", int64[1] flat", "").replace("t = T", "flat = Constant <value_ints=[-1]> ()\n t = T")
    )
    assert needs(model) == {"out:e": {"e", "y"}, "in:e": {"e"}, "out:y": {"y"}}
