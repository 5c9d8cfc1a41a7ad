"""The toggle graph says what the cast inserter's model computes, for any set of kept nodes, and one rounding alone."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pytest
from onnx import ModelProto

from attnexport.export.precision import weights as constants
from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.precision.halves import HalfArray
from attnexport.export.precision.weights import in_half
from attnexport.export.search.toggle import FLAGS, toggle_graph
from attnexport.runtime.sessions.large_model import open_model

X = np.random.default_rng(3).standard_normal((5, 8)).astype(np.float32)
NODES = ("a", "b", "c", "d", "e", "g", "h", "y")


def half(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.float32).astype(np.float16).astype(np.float32)


def subsets() -> list[tuple[str, ...]]:
    rng = np.random.default_rng(5)
    return [(), NODES, *(tuple(n for n in NODES if rng.random() < 0.5) for _ in range(12))]


@pytest.mark.parametrize("keep", subsets(), ids="".join)
def test_flags_give_what_the_typed_model_gives(
    keep: tuple[str, ...],
    residual: ModelProto,
    keeping: Callable[[ModelProto, Collection[str]], ModelProto],
    emulated: Callable[..., list[np.ndarray]],
) -> None:
    graph = toggle_graph(GraphIndex(normalise(residual)), ())
    assert graph.nodes == NODES  # Concat moves data and has no switch
    got = open_model(graph.model).run({"x": X, FLAGS: graph.keeping(keep)})["y"]
    (want,) = emulated(keeping(residual, keep), x=X)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def test_a_fixed_node_has_no_switch_and_is_never_rounded(
    residual: ModelProto,
    keeping: Callable[[ModelProto, Collection[str]], ModelProto],
    emulated: Callable[..., list[np.ndarray]],
) -> None:
    graph = toggle_graph(GraphIndex(normalise(residual)), ("c", "d"))
    assert graph.nodes == ("a", "b", "e", "g", "h", "y")
    got = open_model(graph.model).run({"x": X, FLAGS: graph.keeping(("a",))})["y"]
    (want,) = emulated(keeping(residual, ("a", "c", "d")), x=X)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "expected"), [
    ("out", lambda x, w: half(x @ w)), ("weight", lambda x, w: x @ half(w)), ("in", lambda x, w: half(x) @ w),
])  # fmt: skip
def test_one_rounding_alone(
    kind: str, expected: Callable[..., np.ndarray], weighted: Callable[..., ModelProto]
) -> None:
    w = np.random.default_rng(1).standard_normal((8, 4)).astype(np.float32)
    model = weighted("net (float[n, 8] x, float[8, 4] w) => (float[n, 4] y) { y = MatMul(x, w) }", w=w)
    graph = toggle_graph(GraphIndex(normalise(model)), ())
    session = open_model(graph.model)
    got = session.run({"x": X, FLAGS: graph.only("y", kind)})["y"]
    np.testing.assert_allclose(got, expected(X, w), rtol=2e-6, atol=1e-6)
    assert np.abs(got - X @ w).max() > 1e-5  # something was rounded


def test_constants_are_as_the_inserter_writes_them(
    weighted: Callable[..., ModelProto],
    keeping: Callable[[ModelProto, Collection[str]], ModelProto],
    emulated: Callable[..., list[np.ndarray]],
) -> None:
    """Saturated, lifted off zero, and left alone where they are exact."""
    model = weighted(
        "net (float[n, 8] x, float[8] big, float[8] tiny) => (float[n, 8] y) { a = Mul(x, tiny)  y = Mul(a, big) }",
        big=np.array([1e5, 2.0, 70000.0, 1, 1, 1, 1, 1]), tiny=np.array([1e-9, 0.5, -1e-12, 1, 1, 1, 1, 1]),
    )  # fmt: skip
    graph = toggle_graph(GraphIndex(normalise(model)), ())
    got = open_model(graph.model).run({"x": X, FLAGS: graph.keeping(())})["y"]
    (want,) = emulated(keeping(model, ()), x=X)
    np.testing.assert_array_equal(got, want)
    assert np.abs(got[:, 0]).max() > 0  # 1e-9 became 6e-8, not 0


def test_a_weight_is_rounded_once_however_many_read_it_and_shapes_stay_known(
    weighted: Callable[..., ModelProto],
) -> None:
    w = np.random.default_rng(1).standard_normal((8, 8))
    lines = "a = MatMul(x, w) b = MatMul(a, w) c = Concat <axis = 1> (a, b) d = Add(c, c) y = Neg(d)"
    model = weighted(f"net (float[n, 8] x, float[8, 8] w) => (float[n, 16] y) {{ {lines} }}", w=w)
    graph = toggle_graph(GraphIndex(normalise(model)), ()).model.graph
    weights = [tensor.name for tensor in graph.initializer if list(tensor.dims) == [8, 8]]
    assert weights == ["w", "attnexport/w/rounded"]
    made = {name for node in graph.node for name in node.output}
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.value_info}
    assert shapes.keys() <= made, "ONNX Runtime looks for what is described"
    assert shapes["a"] == shapes["b"] == ["n", 8] and shapes["c"] == ["n", 16]


def test_each_constant_is_looked_at_once(weighted: Callable[..., ModelProto], monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def counted(index: GraphIndex, name: str) -> HalfArray:
        looked.append(name)
        return in_half(index, name)

    monkeypatch.setattr(constants, "in_half", counted)
    lines = "a = MatMul(x, w) b = MatMul(a, w) y = MatMul(b, w)"
    text = f"net (float[n, 8] x, float[8, 8] w) => (float[n, 8] y) {{ {lines} }}"
    exact, other = weighted(text, w=np.eye(8)), weighted(text, w=np.eye(8) / 3)
    for model, same in ((exact, True), (other, False)):
        index = GraphIndex(normalise(model))
        assert [constants.stays(index, "w") for _ in range(3)] == [same] * 3
    assert looked == ["w", "w"]
