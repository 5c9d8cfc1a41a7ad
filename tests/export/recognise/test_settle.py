"""Constants that are laid out, summed or widened in the graph become constants again."""

from __future__ import annotations

import numpy as np
import onnx_graphsurgeon as gs
import pytest
from onnx import TensorProto

from attnexport.export.recognise.settle import settle, settled

X = np.arange(6, dtype=np.float16).reshape(2, 3)


def node_of(op, *inputs, **attrs):
    constants = [gs.Constant(f"c{at}", values) for at, values in enumerate(inputs)]
    return gs.Node(op, op, attrs, constants, [gs.Variable("y")])


@pytest.mark.parametrize(
    ("node", "values"),
    [
        (node_of("Transpose", X, perm=[1, 0]), X.T),
        (node_of("Reshape", X, np.array([0, -1, 1])), X[..., None]),
        (node_of("Unsqueeze", X, np.array([0])), X[None]),
        (node_of("Squeeze", X[None], np.array([0])), X),
        (node_of("Add", X, X[:1]), X + X[:1]),
        (node_of("Add", np.ones(()), np.ones(())), np.full((), 2.0)),
        (node_of("Cast", X, to=TensorProto.FLOAT), X.astype(np.float32)),
    ],
)
def test_a_constant_takes_the_place_of_the_node(node, values) -> None:
    reader = gs.Node("Identity", "reader", {}, [node.outputs[0]], [gs.Variable("z")])
    settle([node])
    (given,) = reader.inputs
    assert isinstance(given, gs.Constant)
    assert given.values.dtype == values.dtype
    assert given.values.shape == values.shape
    np.testing.assert_array_equal(given.values, values)


@pytest.mark.parametrize(
    "node",
    [
        node_of("Cast", X.astype(np.float32), to=TensorProto.FLOAT16),
        node_of("Cast", X, to=TensorProto.INT64),
        node_of("Add", X[:, :1], X[:1]),
        node_of("Exp", X),
    ],
)
def test_what_loses_digits_or_grows_stays(node) -> None:
    settle([node])
    assert len(node.outputs) == 1


def test_the_values_of_a_constant_laid_out_in_steps() -> None:
    transpose = node_of("Transpose", X, perm=[1, 0])
    (output,) = gs.Node(
        "Reshape", "r", {}, [transpose.outputs[0], gs.Constant("s", np.array([6]))], [gs.Variable("z")]
    ).outputs
    np.testing.assert_array_equal(settled(output), X.T.reshape(6))
    assert settled(gs.Variable("computed")) is None
