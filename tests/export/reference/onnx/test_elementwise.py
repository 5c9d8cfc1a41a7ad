"""Arithmetic, activations and reductions against Python's math, PyTorch and NumPy in FP64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

SCALARS = {
    "Abs": abs, "Atan": math.atan, "Asinh": math.asinh, "Ceil": math.ceil, "Cos": math.cos, "Cosh": math.cosh,
    "Erf": math.erf, "Exp": math.exp, "Floor": math.floor, "Neg": lambda v: -v, "Reciprocal": lambda v: 1 / v,
    "Round": round, "Sign": lambda v: math.copysign(1, v), "Sin": math.sin, "Sinh": math.sinh, "Tan": math.tan,
    "Tanh": math.tanh, "Sigmoid": lambda v: 1 / (1 + math.exp(-v)), "Softplus": lambda v: math.log1p(math.exp(v)),
}  # fmt: skip


@pytest.mark.parametrize("op", SCALARS)
def test_functions_of_one_number(evaluate, draw, op):
    x = draw(3, 5) * 2
    (y,) = evaluate(op, x)
    assert y.dtype == np.float64
    truth = np.array([SCALARS[op](float(v)) for v in x.reshape(-1)]).reshape(x.shape)
    np.testing.assert_allclose(y, truth, rtol=1e-12)


@pytest.mark.parametrize("op", ["Acos", "Asin", "Atanh"])
def test_functions_of_small_numbers(evaluate, op):
    x = np.linspace(-0.9, 0.9, 7, dtype=np.float32)
    name = {"Acos": "acos", "Asin": "asin", "Atanh": "atanh"}[op]
    np.testing.assert_allclose(evaluate(op, x)[0], [getattr(math, name)(float(v)) for v in x], rtol=1e-12)


def double(array):
    return torch.from_numpy(array).double()


ACTIVATIONS = {
    "Celu": ({"alpha": 0.75}, lambda x: F.celu(x, 0.75)),
    "Elu": ({"alpha": 0.75}, lambda x: F.elu(x, 0.75)),
    "Gelu": ({}, F.gelu),
    "HardSigmoid": ({"alpha": 0.25, "beta": 0.5}, lambda x: (x * 0.25 + 0.5).clamp(0, 1)),
    "HardSwish": ({}, F.hardswish),
    "LeakyRelu": ({"alpha": 0.25}, lambda x: F.leaky_relu(x, 0.25)),
    "Mish": ({}, F.mish),
    "Relu": ({}, F.relu),
    "Selu": ({}, F.selu),
    "Shrink": ({"lambd": 0.5, "bias": 0.25}, lambda x: torch.where(x.abs() > 0.5, x - x.sign() * 0.25, 0.0 * x)),
    "Softsign": ({}, F.softsign),
    "ThresholdedRelu": ({"alpha": 0.5}, lambda x: F.threshold(x, 0.5, 0.0)),
}


@pytest.mark.parametrize("op", ACTIVATIONS)
def test_activations(evaluate, draw, op):
    attributes, truth = ACTIVATIONS[op]
    x = draw(4, 9) * 3
    np.testing.assert_allclose(evaluate(op, x, **attributes)[0], truth(double(x)).numpy(), rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
def test_the_softmax_family_before_and_after_opset_13(evaluate, draw, op):
    x = draw(2, 3, 4)
    function = {"Softmax": torch.softmax, "LogSoftmax": torch.log_softmax}.get(
        op, lambda t, d: F.one_hot(t.argmax(d), t.shape[d]).movedim(-1, d).double()
    )
    np.testing.assert_allclose(evaluate(op, x, axis=1, opset=13)[0], function(double(x), 1).numpy(), rtol=1e-12)
    flat = function(double(x).reshape(2, 12), 1).reshape(2, 3, 4)
    np.testing.assert_allclose(evaluate(op, x, axis=1, opset=11)[0], flat.numpy(), rtol=1e-12)


REDUCTIONS = {
    "ReduceL1": lambda x, a: np.abs(x).sum(a), "ReduceL2": lambda x, a: np.sqrt((x**2).sum(a)),
    "ReduceLogSumExp": lambda x, a: np.log(np.exp(x).sum(a)), "ReduceMax": np.max, "ReduceMean": np.mean,
    "ReduceMin": np.min, "ReduceProd": np.prod, "ReduceSum": np.sum, "ReduceSumSquare": lambda x, a: (x**2).sum(a),
}  # fmt: skip


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("opset", [11, 18])
def test_reductions(evaluate, draw, op, opset):
    x = draw(3, 4, 5)
    late = opset == 18 or op == "ReduceSum"
    inputs, attributes = ([np.array([0, -1])], {}) if late else ([], {"axes": [0, -1]})
    (y,) = evaluate(op, x, *inputs, keepdims=0, opset=max(opset, 13) if late else opset, **attributes)
    np.testing.assert_allclose(y, REDUCTIONS[op](x.astype("d"), (0, 2)), rtol=1e-12)


def test_clip_has_bounds_of_every_opset(evaluate):
    x = np.array([-3, -0.5, 0.5, 3, np.inf], np.float32)
    np.testing.assert_array_equal(evaluate("Clip", x, opset=7, min=-1.0, max=2.0)[0], [-1, -0.5, 0.5, 2, 2])
    np.testing.assert_array_equal(evaluate("Clip", x, None, np.float32(2))[0], [-3, -0.5, 0.5, 2, 2])
    assert evaluate("Clip", x)[0][-1] == np.finfo(np.float32).max


def test_products(evaluate, draw):
    a, b, c = draw(4, 3), draw(5, 4), draw(5)
    (y,) = evaluate("Gemm", a, b, c, transA=1, transB=1, alpha=0.5, beta=2.0)
    np.testing.assert_allclose(y, 0.5 * a.T.astype("d") @ b.T.astype("d") + 2 * c.astype("d"), rtol=1e-12)
    (y,) = evaluate("Einsum", draw(2, 3, 4), b, equation="bij, kj -> bki")
    assert y.shape == (2, 5, 3)
    m = draw(2, 3, 3)
    np.testing.assert_allclose(evaluate("Det", m)[0], np.linalg.det(m.astype("d")), rtol=1e-10)
