"""Integers and booleans: casts, comparisons, choices, sorting, counting."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from .sketch import TYPES, Rejected, Sketch


def cast(s: Sketch) -> None:
    """Between floats, integers and booleans; a float loses its fraction."""
    x = s.pick(kind="fib")
    kind = s.values[x].dtype.kind
    to: Any = s.one([t for t in (np.int64, np.int32, np.bool_, np.float64) if np.dtype(t) != s.values[x].dtype])
    if kind == "f" and to is np.int64 and s.flip(0.2):
        to = np.int32
    y = s.op("Cast", [x], lambda v: v.astype(to), to=TYPES[np.dtype(to).name])
    s.keep(y)
    if s.values[y].dtype.kind != "f":
        s.keep(s.op("Cast", [y], lambda v: v.astype(np.float64), to=TensorProto.FLOAT))


def through_double(s: Sketch) -> None:
    """FP64 in the middle of the graph; the program cannot tell it from FP32."""
    x = s.op("Cast", [s.pick()], lambda v: v, to=TensorProto.DOUBLE)
    op, function = s.one([("Neg", np.negative), ("Abs", np.abs), ("Sqrt", lambda v: np.sqrt(v)), ("Floor", np.floor)])
    if op == "Sqrt":
        x = s.op("Abs", [x], np.abs)
    s.keep(s.op("Cast", [s.op(op, [x], function)], lambda v: v, to=TensorProto.FLOAT))


def compare(s: Sketch) -> None:
    """A comparison with a constant or another value, and a choice by it."""
    x = s.pick(kind="fi" if s.opset >= 9 else "f")
    op, function = s.one([
        ("Greater", np.greater), ("Less", np.less), *([("Equal", np.equal)] if s.values[x].dtype.kind == "i" else []),
        *([("GreaterOrEqual", np.greater_equal), ("LessOrEqual", np.less_equal)] if s.opset >= 12 else []),
    ])  # fmt: skip
    stored = np.float32 if s.values[x].dtype.kind == "f" else s.values[x].dtype
    limit = s.const(s.rng.normal() if stored is np.float32 else s.between(-1, 2), stored)
    mask = s.op(op, [x, limit], function)
    s.keep(mask)
    if s.opset >= 9:
        s.keep(s.op("Where", [mask, x, s.const(s.between(-2, 2), stored)], np.where))


def logic(s: Sketch) -> None:
    """Booleans."""
    x = s.pick(kind="b")
    same = [n for n in s.pool if s.values[n].dtype == bool and s.shape(n) == s.shape(x)]
    op, function = s.one(
        [("Not", np.logical_not), ("And", np.logical_and), ("Or", np.logical_or), ("Xor", np.logical_xor)]
    )
    s.keep(s.op(op, [x] if op == "Not" else [x, s.one(same)], function))


def whole(s: Sketch) -> None:
    """Arithmetic on integers: quotients towards zero, remainders of either sign."""
    x = s.pick(kind="i")
    dtype = s.values[x].dtype
    y = s.const(s.one([1, 2, 3, 5]), dtype)
    found = [("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply)]
    found.append(("Div", lambda a, b: (np.sign(a) * (np.abs(a) // b)).astype(dtype)))
    if s.opset >= 10:
        found.append(("Mod", np.mod))
    if s.opset >= 12:
        found += [("Max", np.maximum), ("Min", np.minimum)]
    if s.opset >= 18:
        found += [("BitwiseAnd", np.bitwise_and), ("BitwiseOr", np.bitwise_or), ("BitwiseXor", np.bitwise_xor)]
    op, function = s.one(found)
    y = s.op(op, [x, y], function)
    if np.abs(s.values[y]).max() > 10**6:
        raise Rejected("large integers")
    s.keep(y)


def remainder(s: Sketch) -> None:
    """fmod of floats."""
    if s.opset < 10:
        raise Rejected("came with opset 10")
    s.keep(s.op("Mod", [s.pick(), s.const(s.rng.uniform(0.5, 2))], np.fmod, fmod=1))


def best(s: Sketch) -> None:
    """ArgMax, ArgMin."""
    x = s.pick()
    axis = s.axis(x, negative=s.opset >= 11)
    op, keep = s.one(["ArgMax", "ArgMin"]), int(s.flip() or s.free)
    last = int(s.opset >= 12 and s.flip(0.3))

    def function(v: np.ndarray) -> np.ndarray:
        pick = np.argmax if op == "ArgMax" else np.argmin
        found = pick(np.flip(v, axis), axis, keepdims=bool(keep)) if last else pick(v, axis, keepdims=bool(keep))
        return np.asarray(v.shape[axis] - 1 - found if last else found, np.int64)

    s.keep(s.op(op, [x], function, axis=axis, keepdims=keep, **({"select_last_index": last} if last else {})))


def top(s: Sketch) -> None:
    """TopK: values and indices, the largest or the smallest."""
    x = s.pick()
    axis = s.axis(x, negative=s.opset >= 11)
    k, largest = s.between(1, min(3, s.shape(x)[axis])), int(s.opset < 11 or s.flip(0.7))

    def function(v: np.ndarray, *_: Any) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(-v if largest else v, axis, kind="stable")
        order = np.take(order, range(k), axis)
        return np.take_along_axis(v, order, axis), order.astype(np.int64)

    named: dict[str, Any] = {"axis": axis}
    inputs = [x]
    if s.opset >= 10:
        inputs.append(s.ints(k))
    else:
        named["k"] = k
    s.op("TopK", inputs, function, outputs=2, **named, **({"largest": largest} if s.opset >= 11 else {}))
    s.keep(*s.nodes[-1].output)


def cumulate(s: Sketch) -> None:
    """CumSum in both directions."""
    if s.opset < 11:
        raise Rejected("came with opset 11")
    x = s.pick()
    axis, exclusive, back = s.axis(x), int(s.flip()), int(s.flip())

    def function(v: np.ndarray, _: np.ndarray) -> np.ndarray:
        v = np.flip(v, axis) if back else v
        total = np.cumsum(v, axis) - (v if exclusive else 0)
        return np.flip(total, axis) if back else total

    s.keep(s.op("CumSum", [x, s.const(axis, np.int64)], function, exclusive=exclusive, reverse=back))


def one_hot(s: Sketch) -> None:
    """Indices as rows; -1 counts from the end, and what is outside gives the off value."""
    if s.opset < 9:
        raise Rejected("came with opset 9")
    x, depth = s.pick(kind="i"), s.between(2, 4)
    values = s.const(s.rng.normal(size=2))

    def function(i: np.ndarray, _: np.ndarray, v: np.ndarray) -> np.ndarray:
        inside = (i >= -depth) & (i < depth)
        hot = (np.arange(depth) == np.where(inside, i % depth, -1)[..., None]) & inside[..., None]
        return np.where(hot, v[1], v[0])

    s.keep(s.op("OneHot", [x, s.const(depth, np.int64), values], function, axis=-1))


def look_up(s: Sketch) -> None:
    """An embedding: rows of a weight, by integers that the graph computes."""
    if s.opset < 12:
        raise Rejected("Clip takes integers from opset 12 on")
    x = s.pick(kind="i")
    dtype = s.values[x].dtype
    index = s.op("Clip", [x, s.const(0, dtype), s.const(3, dtype)], lambda v, *_: np.clip(v, 0, 3))
    s.keep(s.op("Gather", [s.weight(4, 3), index], lambda w, i: w[i], axis=0))


def reverse(s: Sketch) -> None:
    """ReverseSequence with a length for each row."""
    if s.opset < 10 or s.free:
        raise Rejected("fixed sizes from opset 10 on")
    x = s.pick((2, 3))
    rows, length = s.shape(x)[:2]
    lengths = s.rng.integers(1, length + 1, rows)

    def function(v: np.ndarray, n: np.ndarray) -> np.ndarray:
        return np.stack([np.concatenate([row[:k][::-1], row[k:]]) for row, k in zip(v, n, strict=True)])

    s.keep(s.op("ReverseSequence", [x, s.const(lengths, np.int64)], function, batch_axis=0, time_axis=1))


def chosen(s: Sketch) -> None:
    """Compress by a written condition."""
    if s.opset < 9:
        raise Rejected("came with opset 9")
    x = s.pick()
    axis = s.axis(x, negative=s.opset >= 11)
    condition = s.rng.random(s.shape(x)[axis]) < 0.6
    if not condition.any():
        raise Rejected("nothing is chosen")
    s.keep(s.op("Compress", [x, s.const(condition, np.bool_)], lambda v, c: np.compress(c, v, axis), axis=axis))


def places(s: Sketch) -> None:
    """NonZero, and what stands at its places: sizes that depend on the values, summed away."""
    if s.opset < 13 or s.free:
        raise Rejected("from opset 13 on")
    x = s.pick((1, 2, 3))
    mask = s.op("Greater", [x, s.const(0.0)], np.greater)
    where = s.op("NonZero", [mask], lambda m: np.asarray(np.nonzero(m), np.int64))
    points = s.op("Transpose", [where], np.transpose, perm=[1, 0])
    found = s.op("GatherND", [x, points], lambda v, p: v[tuple(p.T)])
    s.keep(s.op("ReduceSum", [found, s.ints(0)], lambda v, _: v.sum(0, keepdims=True), keepdims=1))


def counted(s: Sketch) -> None:
    """A range as long as an axis, added along it."""
    if s.opset < 13 or s.free:
        raise Rejected("from opset 13 on")
    x = s.pick((2, 3))
    shape = s.op("Shape", [x], lambda v: np.asarray(v.shape, np.int64))
    last = s.op("Gather", [shape, s.const(-1, np.int64)], lambda v, i: v[i])
    steps = s.op(
        "Range", [s.const(0, np.int64), last, s.const(1, np.int64)], lambda a, b, c: np.arange(a, b, c, np.int64)
    )
    steps = s.op("Cast", [steps], lambda v: v.astype(np.float64), to=TensorProto.FLOAT)
    s.keep(s.op("Add", [x, s.op("Mul", [steps, s.const(0.1)], np.multiply)], np.add))


KINDS = (
    cast, cast, through_double, compare, compare, logic, whole, whole, remainder, best, top, cumulate, one_hot, look_up,
    reverse, chosen, places, counted,
)  # fmt: skip
