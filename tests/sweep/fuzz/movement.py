"""Values moved: reshaped, transposed, cut, joined, repeated, padded, gathered and scattered."""

from __future__ import annotations

from typing import Any

import numpy as np

from .sketch import Rejected, Sketch


def transpose(s: Sketch) -> None:
    """Any order; the free axis stays first."""
    x = s.pick(kind="fib")
    first = int(s.free)
    if len(s.shape(x)) < 1 + first:
        raise Rejected("nothing to turn")
    order = [*range(first), *(int(i) + first for i in s.rng.permutation(len(s.shape(x)) - first))]
    s.keep(s.op("Transpose", [x], lambda v: v.transpose(order), perm=order))


def reshape(s: Sketch) -> None:
    """To a shape that is written, or computed from the value's own."""
    x = s.pick(kind="fib")
    shape = list(s.shape(x))
    if len(shape) < 2:
        raise Rejected("nothing to join")
    cut = s.between(int(s.free), len(shape) - 2)
    target = [*shape[:cut], -1, *shape[cut + 2 :]]
    if s.free:
        target[0] = 0
    elif s.flip(0.3):
        target = [int(np.prod(shape[: cut + 1])), -1]
    if s.opset >= 9 and s.flip(0.25):
        return _computed(s, x)
    return s.keep(
        s.op("Reshape", [x, s.ints(*target)], lambda v, t: v.reshape([n or v.shape[i] for i, n in enumerate(t)]))
    )


def _computed(s: Sketch, x: str) -> None:
    size = s.op("Shape", [x], lambda v: np.asarray(v.shape, np.int64))
    batch = s.op("Gather", [size, s.ints(0)], lambda v, i: v[i])
    target = s.op("Concat", [batch, s.ints(-1)], lambda *v: np.concatenate(v), axis=0)
    s.keep(s.op("Reshape", [x, target], lambda v, t: v.reshape(t)))


def flatten(s: Sketch) -> None:
    """A matrix."""
    x = s.pick()
    axis = 1 if s.free else s.between(0, len(s.shape(x)))
    if axis > len(s.shape(x)):
        raise Rejected("rank")
    s.keep(s.op("Flatten", [x], lambda v: v.reshape(int(np.prod(v.shape[:axis])), -1), axis=axis))


def unsqueeze(s: Sketch) -> None:
    """An axis more, or one of length 1 less; axes are an input from opset 13 on."""
    x = s.pick((1, 2, 3), kind="fib")
    shape = s.shape(x)
    ones = [i for i in range(int(s.free), len(shape)) if shape[i] == 1]
    op = "Squeeze" if ones and s.flip(0.7) else "Unsqueeze"
    axis = s.one(ones) if op == "Squeeze" else s.between(int(s.free), len(shape))
    function = lambda v, *_: np.squeeze(v, axis) if op == "Squeeze" else np.expand_dims(v, axis)  # noqa: E731
    if s.opset >= 13:
        return s.keep(s.op(op, [x, s.ints(axis)], function))
    return s.keep(s.op(op, [x], function, axes=[axis]))


def cut(s: Sketch) -> None:
    """Slice with steps, from both ends; attributes before opset 10."""
    x = s.pick(kind="fib")
    axis = s.axis(x)
    n = s.shape(x)[axis]
    start, end = s.between(-n, n - 1), s.one([s.between(-n, n), 2**31 - 1, n])
    step = s.one([1, 1, 2, -1, -2]) if s.opset >= 10 else 1
    if step < 0:
        start, end = s.one([-1, n - 1, n + 3]), s.one([-n - 1, -(2**31), -n])
    where: list[Any] = [slice(None)] * len(s.shape(x))
    where[axis] = slice(start, None if end in (-n - 1, -(2**31)) else end, step)
    function = lambda v, *_: v[tuple(where)]  # noqa: E731
    if s.opset < 10:
        return s.keep(s.op("Slice", [x], function, starts=[start], ends=[end], axes=[axis % len(s.shape(x))]))
    rest = [s.ints(axis), *([s.ints(step)] if step != 1 or s.flip(0.3) else [])]
    return s.keep(s.op("Slice", [x, s.ints(start), s.ints(end), *rest], function))


def concat(s: Sketch) -> None:
    """With itself, a constant, or a value of its shape."""
    x = s.pick()
    axis = s.axis(x, negative=s.opset >= 11)
    same = [n for n in s.pool if s.shape(n) == s.shape(x) and s.values[n].dtype == s.values[x].dtype]
    parts = [x, *(s.one(same) for _ in range(s.between(1, 2)))]
    s.keep(s.op("Concat", parts, lambda *v: np.concatenate(v, axis), axis=axis))


def split(s: Sketch) -> None:
    """Two parts of equal or unequal lengths."""
    x = s.pick(kind="fi")
    axis = s.axis(x, negative=s.opset >= 11)
    n = s.shape(x)[axis]
    if n < 2:
        raise Rejected("too short")
    first = s.between(1, n - 1)
    function = lambda v, *_: tuple(np.split(v, [first], axis))  # noqa: E731
    inputs, named = ([x, s.ints(first, n - first)], {}) if s.opset >= 13 else ([x], {"split": [first, n - first]})
    s.op("Split", inputs, function, outputs=2, axis=axis, **named)
    s.keep(*s.nodes[-1].output)


def pad(s: Sketch) -> None:
    """Constant, edge or reflected; the constant mode also crops."""
    x = s.pick((2, 3, 4))
    rank, mode = len(s.shape(x)), s.one(["constant", "constant", "edge", "reflect"])
    inner = min(2, rank - 1)
    sizes = np.zeros((2, rank), int)
    low = -1 if mode == "constant" and s.flip(0.3) else 0
    sizes[:, -inner:] = s.rng.integers(low, 3, (2, inner))
    if mode == "reflect" and (sizes >= np.asarray(s.shape(x))).any():
        raise Rejected("reflects more than there is")
    value = float(np.float32(s.one([0.0, 0.5, -1.0])))

    def function(v: np.ndarray, *_: Any) -> np.ndarray:
        grown = np.pad(v, np.maximum(sizes, 0).T, mode, **({"constant_values": value} if mode == "constant" else {}))
        return grown[tuple(slice(max(-a, 0), n - max(-b, 0)) for a, b, n in zip(*sizes, grown.shape, strict=True))]

    flat = [int(n) for n in sizes.ravel()]
    if s.opset < 11:
        return s.keep(s.op("Pad", [x], function, mode=mode, pads=flat, value=value))
    return s.keep(
        s.op("Pad", [x, s.ints(*flat), *([s.const(value)] if mode == "constant" else [])], function, mode=mode)
    )


def tile(s: Sketch) -> None:
    """Repeated, or broadcast to a larger shape."""
    x = s.pick((1, 2, 3))
    shape = s.shape(x)
    if s.opset >= 8 and s.flip(0.4) and not s.free:
        larger = [s.between(1, 2), *(n if n > 1 else s.between(1, 3) for n in shape)]
        return s.keep(s.op("Expand", [x, s.ints(*larger)], lambda v, t: np.broadcast_to(v, t)))
    times = [1 if s.free and i == 0 else s.between(1, 2) for i in range(len(shape))]
    return s.keep(s.op("Tile", [x, s.ints(*times)], np.tile))


def gather(s: Sketch) -> None:
    """By written indices, or by integers that the graph computes."""
    x = s.pick((2, 3, 4))
    axis = s.axis(x)
    n = s.shape(x)[axis]
    low = -n if s.opset >= 11 else 0
    indices = s.rng.integers(low, n, s.one([(), (2,), (2, 2)]))
    name = s.const(indices, s.one([np.int64, np.int32]))
    s.keep(s.op("Gather", [x, name], lambda v, i: np.take(v, i, axis), axis=axis))


def gather_elements(s: Sketch) -> None:
    """An index for each element."""
    if s.opset < 11 or s.free:
        raise Rejected("fixed sizes from opset 11 on")
    x = s.pick((1, 2, 3))
    axis = s.axis(x)
    n = s.shape(x)[axis]
    indices = s.rng.integers(-n, n, s.shape(x))
    function = lambda v, i: np.take_along_axis(v, i % n, axis)  # noqa: E731
    s.keep(s.op("GatherElements", [x, s.const(indices, np.int64)], function, axis=axis))


def gather_nd(s: Sketch) -> None:
    """Points, by written indices."""
    if s.opset < 11 or s.free:
        raise Rejected("fixed sizes from opset 11 on")
    x = s.pick((2, 3))
    depth = s.between(1, len(s.shape(x)))
    points = np.stack([s.rng.integers(-n, n, 4) for n in s.shape(x)[:depth]], -1)
    s.keep(s.op("GatherND", [x, s.const(points, np.int64)], lambda v, p: v[tuple(np.moveaxis(p, -1, 0))]))


def scatter(s: Sketch) -> None:
    """Written into the value at each index, once; or added from opset 16 on."""
    if s.opset < 11 or s.free:
        raise Rejected("fixed sizes from opset 11 on")
    x = s.pick((1, 2, 3))
    axis, shape = s.axis(x), s.shape(x)
    axis %= len(shape)
    indices = np.argsort(s.rng.random(shape), axis=axis)
    updates = s.const(s.rng.normal(size=shape))
    added = s.opset >= 16 and s.flip()
    if added:
        indices = s.rng.integers(-shape[axis], shape[axis], shape)

    def function(v: np.ndarray, i: np.ndarray, u: np.ndarray) -> np.ndarray:
        result = v.copy()
        places = list(np.indices(i.shape))
        places[axis] = i % shape[axis]
        (np.add.at(result, tuple(places), u) if added else result.__setitem__(tuple(places), u))
        return result

    named = {"reduction": "add"} if added else {}
    s.keep(s.op("ScatterElements", [x, s.const(indices, np.int64), updates], function, axis=axis, **named))


def scatter_nd(s: Sketch) -> None:
    """Rows or points written."""
    if s.opset < 11 or s.free:
        raise Rejected("fixed sizes from opset 11 on")
    x = s.pick((2, 3))
    rows = s.rng.permutation(s.shape(x)[0])[:2, None]
    updates = s.const(s.rng.normal(size=(len(rows), *s.shape(x)[1:])))

    def function(v: np.ndarray, i: np.ndarray, u: np.ndarray) -> np.ndarray:
        result = v.copy()
        result[i[:, 0]] = u
        return result

    s.keep(s.op("ScatterND", [x, s.const(rows, np.int64), updates], function))


def blocks(s: Sketch) -> None:
    """Depth to space and back."""
    x = s.pick(4)
    _, c, h, w = s.shape(x)
    if c % 4 == 0 and s.flip(0.6):
        mode = s.one(["DCR", "CRD"]) if s.opset >= 11 else "DCR"

        def function(v: np.ndarray) -> np.ndarray:
            n = v.shape[0]
            if mode == "DCR":
                return v.reshape(n, 2, 2, c // 4, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)
            return v.reshape(n, c // 4, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)

        return s.keep(s.op("DepthToSpace", [x], function, blocksize=2, **({"mode": mode} if s.opset >= 11 else {})))
    if h % 2 or w % 2:
        raise Rejected("odd sizes")
    return s.keep(s.op(
        "SpaceToDepth", [x],
        lambda v: v.reshape(-1, c, h // 2, 2, w // 2, 2).transpose(0, 3, 5, 1, 2, 4).reshape(-1, 4 * c, h // 2, w // 2),
        blocksize=2,
    ))  # fmt: skip


def triangle(s: Sketch) -> None:
    """The upper or the lower part."""
    if s.opset < 14:
        raise Rejected("came with opset 14")
    x, upper, k = s.pick((3, 4) if s.free else (2, 3, 4)), int(s.flip()), s.between(-2, 2)
    s.keep(
        s.op("Trilu", [x, s.const(k, np.int64)], lambda v, d: (np.triu if upper else np.tril)(v, int(d)), upper=upper)
    )


def filled(s: Sketch) -> None:
    """Added to a tensor made from the value's shape."""
    if s.opset < 9:
        raise Rejected("came with opset 9")
    x = s.pick()
    size = s.op("Shape", [x], lambda v: np.asarray(v.shape, np.int64))
    made = s.op("ConstantOfShape", [size], lambda t: np.zeros(t))
    s.keep(s.op("Add", [x, s.op("Cos", [made], np.cos)], np.add))


def attend(s: Sketch) -> None:
    """Softmax attention of a value over itself, in heads, as networks write it."""
    x = s.pick(3)
    length, wide = s.shape(x)[1:]
    heads = 2 if wide % 2 == 0 else 1
    parts = []
    for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        y = s.op("MatMul", [x, s.weight(wide, wide)], np.matmul)
        target = s.ints(0, length, heads, wide // heads)
        y = s.op("Reshape", [y, target], lambda v, t: v.reshape(-1, *t[1:]))
        parts.append(s.op("Transpose", [y], lambda v, order=order: v.transpose(order), perm=order))
    scores = s.op("MatMul", parts[:2], np.matmul)
    scores = s.op("Mul", [scores, s.const((wide // heads) ** -0.5)], np.multiply)
    weights = s.op("Softmax", [scores], _softmax, axis=3)
    y = s.op("MatMul", [weights, parts[2]], np.matmul)
    y = s.op("Transpose", [y], lambda v: v.transpose(0, 2, 1, 3), perm=[0, 2, 1, 3])
    s.keep(s.op("Reshape", [y, s.ints(0, length, wide)], lambda v, t: v.reshape(-1, *t[1:])))


def _softmax(v: np.ndarray) -> np.ndarray:
    e = np.exp(v - v.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


KINDS = (
    transpose, reshape, flatten, unsqueeze, cut, concat, split, pad, tile, gather, gather_elements, gather_nd, scatter,
    scatter_nd, blocks, triangle, filled, attend,
)  # fmt: skip
