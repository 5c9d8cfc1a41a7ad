"""Small models in which it is known where FP16 hurts, and searches over them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from attnexport.export.precision import convert
from attnexport.export.precision.policy import Decision
from attnexport.export.progress import Silent
from attnexport.export.reference.onnx_model import OnnxOriginal
from attnexport.export.search import Aim, Evidence, SearchOutcome, search


def with_weights(model: ModelProto, **arrays: np.ndarray) -> ModelProto:
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def weighted(model: Callable[..., ModelProto]) -> Callable[..., ModelProto]:
    """A model from text whose last inputs become weights: ``weighted(text, w=array)``."""

    def make(text: str, opset: int = 18, **arrays: np.ndarray) -> ModelProto:
        made = model(text, opset)
        inputs = [value for value in made.graph.input if value.name not in arrays]
        del made.graph.input[:]
        made.graph.input.extend(inputs)
        return with_weights(made, **arrays)

    return make


@pytest.fixture
def residual(weighted: Callable[..., ModelProto]) -> ModelProto:
    """Two blocks with every kind of edge: matrix products, a skip, movement, a maximum, a joint of two branches."""
    rng = np.random.default_rng(0)
    text = """net (float[n, 8] x, float[8, 16] w1, float[16, 8] w2, float[16, 4] w3, float[1] s) => (float[n, 4] y) {
        a = MatMul(x, w1)
        b = Relu(a)
        c = MatMul(b, w2)
        d = Add(c, x)
        e = Neg(d)
        f = Concat <axis=1> (d, e)
        g = Sigmoid(f)
        h = Mul(g, s)
        y = MatMul(h, w3)
    }"""
    arrays = {n: rng.standard_normal(s) for n, s in (("w1", (8, 16)), ("w2", (16, 8)), ("w3", (16, 4)))}
    return weighted(text, s=np.array([0.3]), **arrays)


@pytest.fixture
def keeping() -> Callable[[ModelProto, Collection[str]], ModelProto]:
    """The typed model with exactly these nodes in FP32."""

    def make(model: ModelProto, keep: Collection[str]) -> ModelProto:
        return convert(model, decisions=[Decision(name, "search", "") for name in keep]).model

    return make


@pytest.fixture
def searched(
    keeping: Callable[[ModelProto, Collection[str]], ModelProto], tmp_path: Path
) -> Callable[..., SearchOutcome]:
    """Search a model of one input x, with its own FP64 evaluation as the truth and all-FP16 as the measure."""

    def run(
        model: ModelProto, *shape: int, scale: float = 1.0, reporter: Silent | None = None, **aim: object
    ) -> SearchOutcome:
        original = OnnxOriginal(model)

        def evidence(seed: int) -> Evidence:
            x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * np.float32(scale)
            return Evidence.of(original, [("random", {"x": x})])

        made: Callable[[Collection[str]], ModelProto] = lambda keep: keeping(model, keep)  # noqa: E731
        return search(
            model, made, evidence(1), lambda: evidence(2), Aim(**aim), reporter or Silent(), cache=tmp_path / "cache"
        )

    return run
