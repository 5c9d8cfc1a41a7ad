"""What autocast leaves in FP32, on graphs whose types under ``torch.autocast`` are known from its documented lists."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto

from attnexport.export.precision.graph import GraphIndex, normalise
from attnexport.export.search import SearchOutcome, driver, trials
from attnexport.export.search.promotion import promoted


def fp32(model: ModelProto) -> set[str]:
    index = GraphIndex(normalise(model))
    return set(promoted(index, [node.name for node in index.nodes]))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("a = MatMul(x, w) y = Add(a, b)", set()),  # F.linear, which casts its bias
        ("a = MatMul(x, w) c = Relu(a) y = Add(c, b)", {"y"}),  # no bias: a parameter is FP32
        ("a = MatMul(x, w) y = Add(a, x)", {"y"}),  # the input is FP32, so the sum is
        ("a = MatMul(x, w) c = Mul(a, two) y = Sqrt(c)", set()),  # a number has no type
        ("a = MatMul(x, w) c = Softmax(a) y = MatMul(c, w)", {"c"}),
        ("a = MatMul(x, w) c = LayerNormalization(a, b) e = Relu(c) y = MatMul(e, w)", {"c", "e"}),
        ("a = MatMul(x, w) t = Transpose(x) y = Mul(a, t)", {"t", "y"}),  # movement keeps the type of its data
        ("a = MatMul(x, w) c = BatchNormalization(a, b, b, b, b) y = PRelu(c, b)", set()),
    ],
)
def test_types_follow_autocasts_lists(lines: str, expected: set[str], weighted: Callable[..., ModelProto]) -> None:
    text = f"net (float[4, 4] x, float[4, 4] w, float[4] b, float two) => (float[4, 4] y) {{ {lines} }}"
    arrays = {"w": np.eye(4), "b": np.ones(4), "two": np.array(2.0)}
    assert fp32(weighted(text, opset=17, **arrays)) == expected


def test_only_nodes_that_may_be_either_are_named(weighted: Callable[..., ModelProto]) -> None:
    text = "net (float[4, 4] x, float[4, 4] w) => (float[4, 4] y) { a = MatMul(x, w) c = Add(a, x) y = Softmax(c) }"
    index = GraphIndex(normalise(weighted(text, w=np.eye(4))))
    assert promoted(index, ["a", "c"]) == {"c"}


@pytest.fixture
def summed(weighted: Callable[..., ModelProto]) -> ModelProto:
    """Many small terms onto a large input: a residual path, which no rule names."""
    rng = np.random.default_rng(5)
    count = 8
    lines = " ".join(
        f"a{i} = MatMul({f's{i - 1}' if i else 'x'}, w{i}) s{i} = Add(a{i}, {f's{i - 1}' if i else 'x'})"
        for i in range(count)
    )
    head = ", ".join(f"float[16, 16] w{i}" for i in range(count))
    text = (
        f"net (float[n, 16] x, {head}, float[16, 16] v) => (float[n, 16] y) {{ {lines} y = MatMul(s{count - 1}, v) }}"
    )
    weights = {f"w{i}": rng.standard_normal((16, 16)) / 200 for i in range(count)}
    return weighted(text, **weights, v=rng.standard_normal((16, 16)) / 4)


def test_a_search_without_time_to_rank_ends_with_autocasts_choice(
    summed: ModelProto, searched: Callable[..., SearchOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_time(*_: object) -> None:
        raise driver.OutOfTime

    monkeypatch.setattr(trials.Trials, "alone", no_time)
    found = searched(summed, 256, 16, target=0.8)
    assert found.report.verdict == "time limit"
    assert {decision.node for decision in found.decisions} == {f"s{i}" for i in range(8)}
    assert found.report.before == pytest.approx(1.0, rel=1e-3)
    assert found.report.error < 0.8 and found.report.held_out is not None and found.report.held_out < 0.8
