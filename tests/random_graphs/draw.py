"""Random typed graphs: casts, control flow, functions, resizing, selection and quantisation between ordinary layers.

A graph is made by a seed alone. Its tensors are (2, 4, 4, 4) or what became of them; every value stays of a size that FP16 holds,
so that an error bound says something. Operators are of opset 13 to 23, each graph of one opset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

F, INT, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
SHAPE = (2, 4, 4, 4)
OPSETS = (13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23)
INCREASING = ("Relu", "Tanh", "Sigmoid", "Erf", "Elu", "HardSigmoid", "LeakyRelu", "Softsign", "Identity")


@dataclass
class Drawing:
    """A graph under way: its nodes, weights, and the float32 tensors that can be read, by name with their shapes."""

    rng: np.random.Generator
    opset: int
    prefix: str = ""
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)
    floats: dict[str, tuple[int, ...]] = field(default_factory=dict)
    count: int = 0

    def fresh(self) -> str:
        """A new tensor name."""
        self.count += 1
        return f"{self.prefix}t{self.count}"

    def const(self, array: object, dtype: type = np.float32) -> str:
        """A weight; a small one is a Constant node now and then."""
        name, values = self.fresh(), np.asarray(array, dtype)
        if values.size < 9 and self.rng.random() < 0.3:
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values, name)))
        else:
            self.weights.append(numpy_helper.from_array(values, name))
        return name

    def ints(self, *values: int) -> str:
        """A list of int64."""
        return self.const(values, np.int64)

    def op(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: object) -> str:
        """A node; the name of its first output."""
        names = [self.fresh() for _ in range(outputs)]
        name = f"{self.prefix}{op}_{len(self.nodes)}" if self.rng.random() < 0.8 else ""
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, domain=domain, **attributes))
        return names[0]

    def pick(self, rank: int | None = None) -> str:
        """A tensor that can be read, a late one more often."""
        names = [name for name, shape in self.floats.items() if rank in (None, len(shape))]
        return names[min(len(names) - 1, int(len(names) * self.rng.beta(2, 1)))]

    def made(self, name: str, shape: tuple[int, ...]) -> None:
        """``name`` can be read from here on."""
        self.floats[name] = shape

    def weight(self, *shape: int) -> str:
        """Random weights that keep the size of what they multiply."""
        fan = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
        return self.const(self.rng.normal(size=shape) / fan**0.5)


def _unary(d: Drawing) -> None:
    x = d.pick()
    d.made(d.op(str(d.rng.choice([*INCREASING, "Neg", "Abs"])), x), d.floats[x])


def _binary(d: Drawing) -> None:
    x = d.pick()
    same = [name for name, shape in d.floats.items() if shape == d.floats[x]]
    y = same[int(d.rng.integers(len(same)))] if d.rng.random() < 0.7 else d.const(d.rng.normal())
    d.made(d.op(str(d.rng.choice(["Add", "Sub", "Mul", "Max", "Min"])), x, y), d.floats[x])


def _division(d: Drawing) -> None:
    x, y = d.pick(), d.pick()
    if d.floats[x] == d.floats[y]:
        d.made(d.op("Div", x, d.op("Add", d.op("Abs", y), d.const(1.0))), d.floats[x])


def _movement(d: Drawing) -> None:
    x = d.pick()
    shape = d.floats[x]
    kind = d.rng.integers(5)
    if kind == 0:
        order = [int(i) for i in d.rng.permutation(len(shape))]
        d.made(d.op("Transpose", x, perm=order), tuple(shape[i] for i in order))
    elif kind == 1:
        d.made(d.op("Concat", x, x, axis=0), (2 * shape[0], *shape[1:]))
    elif kind == 2 and shape[-1] > 1:
        y = d.op("Slice", x, d.ints(0), d.ints(shape[-1] - 1), d.ints(-1))
        d.made(y, (*shape[:-1], shape[-1] - 1))
    elif kind == 3:
        d.made(d.op("Gather", x, d.ints(0, shape[0] - 1), axis=0), (2, *shape[1:]))
    else:
        d.made(d.op("Reshape", x, d.ints(shape[0], -1)), (shape[0], int(np.prod(shape[1:]))))


def _split(d: Drawing) -> None:
    x = d.pick()
    shape = d.floats[x]
    if shape[-1] % 2 == 0 and shape[-1]:
        half = shape[-1] // 2
        y = d.op("Split", x, d.ints(half, half), outputs=2, axis=-1)
        for name in (y, d.nodes[-1].output[1]):
            d.made(name, (*shape[:-1], half))


def _matmul(d: Drawing) -> None:
    x = d.pick()
    shape = d.floats[x]
    d.made(d.op("MatMul", x, d.weight(shape[-1], 4)), (*shape[:-1], 4))


def _conv(d: Drawing) -> None:
    x = d.pick(4)
    n, c, h, w = d.floats[x]
    d.made(d.op("Conv", x, d.weight(4, c, 1, 1), d.const(d.rng.normal(size=4))), (n, 4, h, w))


def _pool(d: Drawing) -> None:
    x = d.pick(4)
    n, c, h, w = d.floats[x]
    if h > 1 and w > 1:
        op = str(d.rng.choice(["MaxPool", "AveragePool"]))
        d.made(d.op(op, x, kernel_shape=[2, 2]), (n, c, h - 1, w - 1))


def _softmax(d: Drawing) -> None:
    x = d.pick()
    d.made(d.op("Softmax", x, axis=-1), d.floats[x])


def _reduce(d: Drawing) -> None:
    x = d.pick()
    shape = d.floats[x]
    op = str(d.rng.choice(["ReduceMean", "ReduceMax", "ReduceSum"]))
    y = d.op(op, x, d.ints(-1)) if op == "ReduceSum" or d.opset >= 18 else d.op(op, x, axes=[-1])
    d.made(y, (*shape[:-1], 1))


def _norm(d: Drawing) -> None:
    x = d.pick()
    shape = d.floats[x]
    if d.opset >= 17:
        scale, bias = d.const(np.ones(shape[-1])), d.const(np.zeros(shape[-1]))
        d.made(d.op("LayerNormalization", x, scale, bias, epsilon=float(d.rng.choice([1e-5, 1e-12]))), shape)


def _casts(d: Drawing) -> None:
    """Through one to three other types and back: 16 bits, float64, integers."""
    x = y = d.pick()
    for _ in range(int(d.rng.integers(1, 4))):
        y = d.op("Cast", y, to=int(d.rng.choice([TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT32, F])))
    d.made(d.op("Cast", y, to=F), d.floats[x])


def _compare(d: Drawing) -> None:
    x = d.pick()
    y = d.const(np.asarray(d.rng.normal()))
    d.made(d.op("Where", d.op("Greater", x, y), x, y), d.floats[x])


def _masked(d: Drawing) -> None:
    x = d.pick()
    d.made(d.op("Where", "flag", x, d.op("Neg", x)), d.floats[x])


def _topk(d: Drawing) -> None:
    x = d.pick()
    shape = d.floats[x]
    y = d.op("TopK", x, d.ints(1), outputs=2, axis=-1)
    indices = d.nodes[-1].output[1]
    d.made(y, (*shape[:-1], 1))
    if d.rng.random() < 0.5:
        d.made(d.op("Cast", indices, to=F), (*shape[:-1], 1))


def _resize(d: Drawing) -> None:
    x = d.pick(4)
    n, c, h, w = d.floats[x]
    mode = str(d.rng.choice(["nearest", "linear"]))
    how = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if d.rng.random() < 0.5:
        y = d.op("Resize", x, "", d.const([1, 1, 2, 2]), **how)
    else:
        y = d.op("Resize", x, "", "", d.ints(n, c, 2 * h, 2 * w), **how)
    d.made(y, (n, c, 2 * h, 2 * w))


def _quantise(d: Drawing) -> None:
    x = d.pick()
    scale, zero = d.const(1 / 16), d.const(0, np.int8)
    d.made(d.op("DequantizeLinear", d.op("QuantizeLinear", x, scale, zero), scale, zero), d.floats[x])


def _filled(d: Drawing) -> None:
    x = d.pick()
    value = numpy_helper.from_array(np.array([0.5], np.float32), "value")
    d.made(d.op("Add", x, d.op("ConstantOfShape", d.op("Shape", x), value=value)), d.floats[x])


def _captured(d: Drawing) -> str:
    """A tensor for bodies to read. ONNX Runtime 1.31 loses a cast from float64 that only a body reads, in any model."""
    x = d.pick()
    casts = [node.output[0] for node in d.nodes if node.op_type == "Cast"]
    if x not in casts:
        return x
    y = d.op("Neg", x)
    d.made(y, d.floats[x])
    return y


def _branch(d: Drawing) -> None:
    """If: each branch computes on an outer tensor, with a weight of its own."""
    x = _captured(d)
    shape = d.floats[x]
    bodies = {}
    for side in ("then", "else"):
        inner = Drawing(d.rng, d.opset, f"{d.fresh()}_{side}_", floats={x: shape})
        y = inner.op(str(d.rng.choice(["Tanh", "Neg", "Relu"])), x)
        y = inner.op("Mul", y, inner.const(d.rng.normal()))
        bodies[f"{side}_branch"] = _graph(inner, [], [(y, shape)])
    d.made(d.op("If", "choose", **bodies), shape)


def _loop(d: Drawing) -> None:
    """Loop: a float state, an outer tensor, and what every step gives side by side."""
    x = _captured(d)
    shape = d.floats[x]
    inner = Drawing(d.rng, d.opset, f"{d.fresh()}_body_", floats={x: shape})
    state = f"{inner.prefix}state"
    y = inner.op("Tanh", inner.op("Add", inner.op("Mul", state, inner.const(0.5)), x))
    z, go = inner.op("Relu", y), inner.op("Identity", f"{inner.prefix}go")
    given = [(f"{inner.prefix}i", (), INT), (f"{inner.prefix}go", (), B), (state, shape, F)]
    body = _graph(inner, given, [(go, (), B), (y, shape), (z, shape)])
    first = d.op("Loop", d.const(3, np.int64), d.const(True, np.bool_), x, outputs=2, body=body)
    d.made(first, shape)
    d.made(d.nodes[-1].output[1], (3, *shape))


def _call(d: Drawing) -> None:
    """A function of the model's own."""
    x = d.pick()
    d.made(d.op(str(d.rng.choice(["twice", "gate"])), x, domain="own"), d.floats[x])


KINDS: dict[str, Callable[[Drawing], None]] = {
    "unary": _unary, "binary": _binary, "division": _division, "movement": _movement, "split": _split, "matmul": _matmul,
    "conv": _conv, "pool": _pool, "softmax": _softmax, "reduce": _reduce, "norm": _norm, "casts": _casts,
    "compare": _compare, "masked": _masked, "topk": _topk, "resize": _resize, "quantise": _quantise, "filled": _filled,
    "branch": _branch, "loop": _loop, "call": _call,
}  # fmt: skip


def _graph(d: Drawing, given: list[tuple], made: list[tuple]) -> GraphProto:
    def info(name: str, shape: tuple[int, ...], dtype: int = F):
        return helper.make_tensor_value_info(name, dtype, shape)

    return helper.make_graph(
        d.nodes, f"{d.prefix or 'g'}", [info(*g) for g in given], [info(*m) for m in made], d.weights
    )


def _functions(opset: int) -> list:
    sets = [helper.make_opsetid("", opset)]
    twice = [helper.make_node("Add", ["a", "a"], ["b"])]
    gate = [helper.make_node("Sigmoid", ["a"], ["s"]), helper.make_node("Mul", ["a", "s"], ["b"])]
    return [
        helper.make_function("own", name, ["a"], ["b"], nodes, sets)
        for name, nodes in (("twice", twice), ("gate", gate))
    ]


def draw(seed: int, steps: int = 12) -> ModelProto:
    """The graph of a seed. Inputs: x float (2, 4, 4, 4), flag and choose bool; outputs: the last float and one other."""
    rng = np.random.default_rng(seed)
    d = Drawing(rng, int(rng.choice(OPSETS)), floats={"x": SHAPE})
    kinds = list(KINDS.values())
    while len(d.floats) < steps:
        kinds[int(rng.integers(len(kinds)))](d)
    names = list(d.floats)
    chosen = dict.fromkeys([names[-1], names[int(rng.integers(1, len(names)))]])
    given = [("x", SHAPE), ("flag", (), B), ("choose", (), B)]
    graph = _graph(d, given, [(name, d.floats[name]) for name in chosen])
    used = [helper.make_opsetid("", d.opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=used, functions=_functions(d.opset), ir_version=10)
