"""Arithmetic on floats: functions of one value, of several, reductions, products, softmax and normalisation."""

from __future__ import annotations

import math

import numpy as np
import torch

from .sketch import Function, Rejected, Sketch

_erf = np.vectorize(math.erf, otypes=[float])
_UNARY: dict[str, tuple[int, Function]] = {
    "Relu": (7, lambda x: np.maximum(x, 0)), "Tanh": (7, np.tanh), "Sigmoid": (7, lambda x: 1 / (1 + np.exp(-x))),
    "Erf": (9, _erf), "Softplus": (7, lambda x: np.logaddexp(0, x)), "Softsign": (7, lambda x: x / (1 + np.abs(x))),
    "Neg": (7, np.negative), "Abs": (7, np.abs), "Sin": (7, np.sin), "Cos": (7, np.cos), "Atan": (7, np.arctan),
    "Asinh": (9, np.arcsinh), "Floor": (7, np.floor), "Ceil": (7, np.ceil), "Round": (11, np.rint), "Sign": (9, np.sign),
    "Identity": (7, lambda x: x), "Mish": (18, lambda x: x * np.tanh(np.logaddexp(0, x))),
    "HardSwish": (14, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)), "Sinh": (9, np.sinh), "Exp": (7, np.exp),
    "Tan": (7, np.tan),
}  # fmt: skip
_REDUCTIONS: dict[str, tuple[int, Function]] = {
    "ReduceSum": (13, np.sum), "ReduceMean": (18, np.mean), "ReduceMax": (18, np.max), "ReduceMin": (18, np.min),
    "ReduceProd": (18, np.prod), "ReduceL1": (18, lambda x, **k: np.abs(x).sum(**k)),
    "ReduceL2": (18, lambda x, **k: np.sqrt(np.square(x).sum(**k))),
    "ReduceSumSquare": (18, lambda x, **k: np.square(x).sum(**k)),
    "ReduceLogSumExp": (18, lambda x, **k: np.log(np.exp(x).sum(**k))),
}  # fmt: skip


def unary(s: Sketch) -> None:
    """A function of one value."""
    op = s.one([name for name, (since, _) in _UNARY.items() if since <= s.opset])
    s.keep(s.op(op, [s.pick()], _UNARY[op][1]))


def shaped(s: Sketch) -> None:
    """A function with attributes."""
    a, b = float(np.float32(s.rng.uniform(0.1, 1.5))), float(np.float32(s.rng.uniform(-0.5, 0.5)))
    found: list[tuple[str, Function, dict[str, float]]] = [
        ("Elu", lambda x: np.where(x < 0, a * np.expm1(x), x), {"alpha": a}),
        ("LeakyRelu", lambda x: np.where(x < 0, b * x, x), {"alpha": b}),
        ("HardSigmoid", lambda x: np.clip(a * x + b, 0, 1), {"alpha": a, "beta": b}),
        ("Selu", lambda x: 1.5 * np.where(x <= 0, a * np.expm1(x), x), {"alpha": a, "gamma": 1.5}),
    ]
    if s.opset >= 10:
        found += [("ThresholdedRelu", lambda x: np.where(x > a, x, 0), {"alpha": a})]
        found += [("Shrink", lambda x: np.where(x < -a, x + b, np.where(x > a, x - b, 0)), {"lambd": a, "bias": b})]
    if s.opset >= 12:
        found += [("Celu", lambda x: np.maximum(x, 0) + np.minimum(0, a * np.expm1(x / a)), {"alpha": a})]
    op, function, attributes = s.one(found)
    s.keep(s.op(op, [s.pick()], function, **attributes))


def positive(s: Sketch) -> None:
    """A root, a logarithm or a quotient of what is above 0.1."""
    x = s.op("Add", [s.op("Abs", [s.pick()], np.abs), s.const(s.rng.uniform(0.2, 1))], np.add)
    if s.flip(0.3):
        return s.keep(s.op("Div", [s.op("Neg", [x], np.negative), x][:: s.one([1, -1])], np.divide))
    op, function = s.one([("Sqrt", np.sqrt), ("Log", np.log), ("Reciprocal", lambda v: 1 / v)])
    return s.keep(s.op(op, [x], function))


def clip(s: Sketch) -> None:
    """Both limits, or one; attributes before opset 11."""
    low, high = np.float32(-s.rng.uniform(0, 1)), np.float32(s.rng.uniform(0, 1))
    sides = s.one([(True, True), (True, False), (False, True)])
    function = lambda x, *_: np.clip(x, float(low) if sides[0] else None, float(high) if sides[1] else None)  # noqa: E731
    if s.opset < 11:
        named = {"min": float(low)} if sides[0] else {}
        return s.keep(s.op("Clip", [s.pick()], function, **named, **({"max": float(high)} if sides[1] else {})))
    limits = [s.const(limit) if kept else "" for limit, kept in zip((low, high), sides, strict=True)]
    return s.keep(s.op("Clip", [s.pick(), *limits][: 3 if sides[1] else 2], function))


def power(s: Sketch) -> None:
    """A whole power, or that of a value above zero."""
    x, exponent = s.pick(), s.one([2.0, 3.0, 1.0, 0.0, -1.0, 0.5])
    if exponent in (-1.0, 0.5):
        x = s.op("Add", [s.op("Abs", [x], np.abs), s.const(0.25)], np.add)
    if s.opset >= 12 and s.flip(0.3) and exponent != 0.5:
        return s.keep(s.op("Pow", [x, s.const(exponent, np.int64)], lambda v, p: np.power(v, p.astype(float))))
    return s.keep(s.op("Pow", [x, s.const(exponent)], np.power))


def _other(s: Sketch, x: str) -> str:
    """What goes with ``x``: a value of its shape, one that broadcasts, or a constant."""
    shape = s.shape(x)
    fits = [n for n in s.pool if s.values[n].dtype.kind == "f" and _broadcasts(s.shape(n), shape, s.free)]
    if s.flip(0.6):
        return str(s.one(fits))
    cut = s.between(0, len(shape))
    tail = [1 if s.flip(0.4) or (s.free and i + cut == 0) else n for i, n in enumerate(shape[cut:])]
    return s.const(s.rng.normal(size=tail))


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...], free: bool) -> bool:
    if free and len(a) != len(b):
        return False
    try:
        return len(np.broadcast_shapes(a, b)) <= 5
    except ValueError:
        return False


def binary(s: Sketch) -> None:
    """Two or more values with broadcasting."""
    x = s.pick()
    op, function = s.one([("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply)] * 2 + [
        ("Max", np.maximum), ("Min", np.minimum), ("Sum", np.add), ("Mean", lambda a, b: (a + b) / 2),
    ])  # fmt: skip
    inputs = [x, _other(s, x)]
    if op in ("Max", "Min") and s.opset < 8 and s.shape(inputs[1]) != s.shape(x):
        raise Rejected("no broadcasting")
    if op in ("Sum", "Mean") and s.opset < 8 and s.shape(inputs[1]) != s.shape(x):
        raise Rejected("no broadcasting")
    s.keep(s.op(op, inputs[:: s.one([1, -1])], function))


def slope(s: Sketch) -> None:
    """PRelu, with a slope for each channel or for all."""
    x = s.pick((2, 3, 4))
    channels = s.shape(x)[1]
    tail = (1,) * (len(s.shape(x)) - 2)
    slope = s.const(s.rng.normal(size=s.one([(1,), (channels, *tail)])))
    s.keep(s.op("PRelu", [x, slope], lambda v, w: np.where(v < 0, v * w, v)))


def reduce(s: Sketch) -> None:
    """A reduction over some axes or all; axes are an input from opset 13 or 18 on."""
    op = s.one(list(_REDUCTIONS))
    x = s.pick()
    first = int(s.free)
    axes = [i for i in range(first, len(s.shape(x))) if s.flip(0.5)]
    if not axes:
        raise Rejected("no axes")
    keep = int(s.flip() or s.free)
    since, base = _REDUCTIONS[op]
    shown = [i - len(s.shape(x)) if s.opset >= 11 and s.flip(0.4) else i for i in axes]
    function = lambda v, *_: base(v, axis=tuple(axes), keepdims=bool(keep))  # noqa: E731
    if s.opset >= since:
        return s.keep(s.op(op, [x, s.ints(*shown)], function, keepdims=keep))
    return s.keep(s.op(op, [x], function, keepdims=keep, axes=shown))


def matmul(s: Sketch) -> None:
    """By a weight, or a value by its transpose."""
    x = s.pick((2, 3, 4))
    shape = s.shape(x)
    if s.flip(0.6):
        return s.keep(s.op("MatMul", [x, s.weight(shape[-1], s.between(1, 5))], np.matmul))
    order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    if s.free and len(shape) == 2:
        raise Rejected("the free axis twice")
    turned = s.op("Transpose", [x], lambda v: v.transpose(order), perm=order)
    scaled = s.op("Mul", [x, s.const(shape[-1] ** -0.5)], np.multiply)
    return s.keep(s.op("MatMul", [scaled, turned], np.matmul))


def gemm(s: Sketch) -> None:
    """Gemm with all its attributes."""
    x = s.pick(2)
    (rows, depth), wide = s.shape(x), s.between(1, 4)
    a, b = int(s.flip(0.3) and not s.free), int(s.flip())
    depth = rows if a else depth
    alpha, beta = float(np.float32(s.rng.normal())), float(np.float32(s.rng.normal()))
    weight = s.weight(wide, depth) if b else s.weight(depth, wide)
    bias = s.const(s.rng.normal(size=s.one([(wide,), (1, wide), ()])))

    def function(x: np.ndarray, w: np.ndarray, c: np.ndarray) -> np.ndarray:
        return alpha * (x.T if a else x) @ (w.T if b else w) + beta * c

    s.keep(s.op("Gemm", [x, weight, bias], function, alpha=alpha, beta=beta, transA=a, transB=b))


def einsum(s: Sketch) -> None:
    """A sum of products by letters."""
    if s.opset < 12:
        raise Rejected("came with opset 12")
    x = s.pick((2, 3))
    letters = "ijk"[: len(s.shape(x))]
    last = letters[-1]
    text = s.one([f"{letters},{last}m->{letters[:-1]}m", f"{letters},{last}->{letters}", f"{letters}->{letters[0]}"])
    inputs = [x]
    if "," in text:
        second = text.split("->")[0].split(",")[1]
        inputs.append(s.weight(*([s.shape(x)[-1], 3][: len(second)])))
    s.keep(s.op("Einsum", inputs, lambda *v: np.einsum(text, *v), equation=text))


def softmax(s: Sketch) -> None:
    """Softmax, its logarithm, or Hardmax; before opset 13 over all axes from ``axis`` on."""
    x = s.pick()
    axis = s.axis(x, negative=s.opset >= 11)
    op = s.one(["Softmax", "LogSoftmax", "Hardmax"])

    def flat(v: np.ndarray) -> np.ndarray:
        if op == "Hardmax":
            return np.eye(v.shape[-1])[v.argmax(-1)]
        logs = v - v.max(-1, keepdims=True)
        logs = logs - np.log(np.exp(logs).sum(-1, keepdims=True))
        return np.exp(logs) if op == "Softmax" else logs

    def function(v: np.ndarray) -> np.ndarray:
        if s.opset >= 13:
            return np.moveaxis(flat(np.moveaxis(v, axis, -1)), -1, axis)
        place = axis % v.ndim
        return flat(v.reshape(int(np.prod(v.shape[:place])), -1)).reshape(v.shape)

    s.keep(s.op(op, [x], function, axis=axis))


def norm(s: Sketch) -> None:
    """A normalisation: of layers, batches, instances, groups, by length, across channels."""
    x = s.pick((2, 3, 4))
    shape = s.shape(x)
    eps = float(np.float32(s.one([1e-5, 1e-3, 1e-2])))
    s.one([_layer, _batch, _instance, _length, _across])(s, x, shape, eps)


def _layer(s: Sketch, x: str, shape: tuple[int, ...], eps: float) -> None:
    if s.opset < 17:
        raise Rejected("came with opset 17")
    axis = s.axis(x)
    scale, bias = (s.const(s.rng.normal(size=shape[axis % len(shape) :])) for _ in range(2))
    s.keep(s.op(
        "LayerNormalization", [x, scale, bias],
        lambda v, w, b: _centred(v, tuple(range(axis % v.ndim, v.ndim)), eps) * w + b, axis=axis, epsilon=eps,
    ))  # fmt: skip


def _batch(s: Sketch, x: str, shape: tuple[int, ...], eps: float) -> None:
    n = shape[1]
    weights = [
        s.const(a) for a in (s.rng.normal(size=n), s.rng.normal(size=n), s.rng.normal(size=n), s.rng.uniform(0.5, 2, n))
    ]
    tail = (n, *(1,) * (len(shape) - 2))

    def function(v: np.ndarray, w: np.ndarray, b: np.ndarray, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
        w, b, mean, var = (a.reshape(tail) for a in (w, b, mean, var))
        return (v - mean) / np.sqrt(var + eps) * w + b

    s.keep(s.op("BatchNormalization", [x, *weights], function, epsilon=eps))


def _instance(s: Sketch, x: str, shape: tuple[int, ...], eps: float) -> None:
    if len(shape) < 3 or np.prod(shape[2:]) < 2:
        raise Rejected("no space axes")
    tail = (shape[1], *(1,) * (len(shape) - 2))
    scale, bias = (s.const(s.rng.normal(size=shape[1])) for _ in range(2))
    s.keep(s.op(
        "InstanceNormalization", [x, scale, bias],
        lambda v, w, b: _centred(v, tuple(range(2, v.ndim)), eps) * w.reshape(tail) + b.reshape(tail), epsilon=eps,
    ))  # fmt: skip


def _length(s: Sketch, x: str, shape: tuple[int, ...], eps: float) -> None:
    p, axis = s.one([1, 2]), s.axis(x, negative=False)
    moved = s.op("Add", [x, s.const(0.5)], np.add)
    function = lambda v: v / np.linalg.norm(v, p, axis=axis, keepdims=True)  # noqa: E731
    s.keep(s.op("LpNormalization", [moved], function, p=p, axis=axis))


def _across(s: Sketch, x: str, shape: tuple[int, ...], eps: float) -> None:
    if len(shape) != 4:
        raise Rejected("images only")
    size, alpha, beta = s.one([1, 3, 5]), float(np.float32(0.3)), 0.75

    def function(v: np.ndarray) -> np.ndarray:
        return torch.nn.functional.local_response_norm(torch.from_numpy(v), size, alpha, beta, 1.0).numpy()

    s.keep(s.op("LRN", [x], function, size=size, alpha=alpha, beta=beta, bias=1.0))


def _centred(v: np.ndarray, axes: tuple[int, ...], eps: float) -> np.ndarray:
    return (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + eps)


KINDS = (
    unary,
    unary,
    shaped,
    positive,
    clip,
    power,
    binary,
    binary,
    slope,
    reduce,
    matmul,
    gemm,
    einsum,
    softmax,
    norm,
)
