"""Naive intervals: between which values each tensor of a graph may lie when all that computes rounds to a 16-bit type.

Each float tensor is a pair (low, high) of float64 arrays; an integer or bool one too (a cast of an uncertain float is uncertain).
Every node that computes rounds its operands (they may have been stored in 16 bits) and its result. Most operators
never decrease in any of their operands, so their ends are those of the result; the others are written out here.
Correlations are forgotten, so the bounds are wide, but they are bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.inliner import inline_local_functions
from onnx.reference import ReferenceEvaluator

Array = np.ndarray
Interval = tuple[Array, Array]

MOVES = frozenset({"Concat", "Gather", "Identity", "Reshape", "Slice", "Split", "Transpose"})
SCALED = frozenset({"DequantizeLinear", "QuantizeLinear", "Resize"})  # their scales stay FP32
EXACT = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE})
SLACK = 1e-5  # what FP32 itself rounds, in sums too


class Bounds:
    """The intervals of one run. ``step`` is half an ulp relative to the value, ``least`` half of the smallest number,
    ``largest`` the end of the type: beyond it a bound is infinite."""

    def __init__(self, model: ModelProto, step: float, least: float, largest: float) -> None:
        self.model = inline_local_functions(model)
        self.opset = next(entry.version for entry in model.opset_import if entry.domain == "")
        self.step, self.least, self.largest = step, least, largest

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Interval]:
        """Intervals of the outputs."""
        values = {name: (_wide(array), _wide(array)) for name, array in feeds.items()}
        return self._graph(self.model.graph, values)

    def _graph(self, graph: GraphProto, outer: Mapping[str, Interval]) -> dict[str, Interval]:
        values = dict(outer)
        for tensor in graph.initializer:
            array = _wide(numpy_helper.to_array(tensor))
            values[tensor.name] = array, array
        with np.errstate(all="ignore"):
            for node in graph.node:
                for name, interval in zip(node.output, self._node(node, values), strict=True):
                    values[name] = interval
        return {value.name: values[value.name] for value in graph.output}

    def _node(self, node: NodeProto, values: dict[str, Interval]) -> list[Interval]:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            array = _wide(numpy_helper.to_array(attributes["value"]))
            return [(array, array)]
        if node.op_type == "If":
            side = "then_branch" if values[node.input[0]][0] else "else_branch"
            return [self._rounded(i) for i in self._graph(attributes[side], values).values()]
        if node.op_type == "Loop":
            return self._loop(node, attributes["body"], values)
        given = [values[name] if name else None for name in node.input]
        if node.op_type in MOVES:
            return self._ends(node, given)
        rounded = [None if i is None else self._rounded(i) for i in given]
        if node.op_type in SCALED:
            rounded[1:] = given[1:]
        return [self._rounded(i) for i in self._computed(node, rounded, attributes)]

    def _loop(self, node: NodeProto, body: GraphProto, values: dict[str, Interval]) -> list[Interval]:
        state, scanned = self._rounded(values[node.input[2]]), []
        given = [value.name for value in body.input]
        for i in range(int(values[node.input[0]][0])):
            step = {given[0]: (np.array(i),) * 2, given[1]: (np.array(True),) * 2, given[2]: state}
            _, state, seen = self._graph(body, {**values, **step}).values()
            scanned.append(seen)
        stacked = np.stack([low for low, _ in scanned]), np.stack([high for _, high in scanned])
        return [self._rounded(state), self._rounded(stacked)]

    def _rounded(self, interval: Interval) -> Interval:
        """An interval around every value that rounding may make of one inside."""
        low, high = interval
        if low.dtype.kind != "f":
            return interval
        low = low - self.step * np.abs(low) - self.least - SLACK * np.abs(low)
        high = high + self.step * np.abs(high) + self.least + SLACK * np.abs(high)
        return np.where(low < -self.largest, -np.inf, low), np.where(high > self.largest, np.inf, high)

    def _ends(self, node: NodeProto, given: list[Interval | None]) -> list[Interval]:
        """The ends of an operator that decreases in none of its operands."""
        ends = [self._evaluate(node, [None if i is None else i[end] for i in given]) for end in (0, 1)]
        return list(zip(*ends, strict=True))

    def _evaluate(self, node: NodeProto, arrays: list[Array | None]) -> list[Array]:
        bare = NodeProto()
        bare.CopyFrom(node)
        graph = helper.make_graph(
            [bare],
            "one",
            [
                helper.make_tensor_value_info(n, _dtype(a), None)
                for n, a in dict(zip(node.input, arrays, strict=True)).items()
                if n
            ],
            [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in node.output],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        feeds = {name: array for name, array in zip(node.input, arrays, strict=True) if name}
        return [np.asarray(a) for a in ReferenceEvaluator(model).run(None, feeds)]

    def _computed(self, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
        op = node.op_type
        if op in SPECIAL:
            return SPECIAL[op](self, node, given, attributes)
        return self._ends(node, given)


def _wide(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _dtype(array: Array | None) -> int:
    return helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype)


def _hull(*arrays: Array) -> Interval:
    return np.fmin.reduce(arrays), np.fmax.reduce(arrays)


def _neg(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    return [(-given[0][1], -given[0][0])]


def _abs(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    low, high = given[0]
    return [(np.maximum(np.maximum(low, -high), 0.0), np.maximum(-low, high))]


def _sub(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    (a, b), (c, d) = given
    return [(a - d, b - c)]


def _mul(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    return [_hull(*(x * y for x in given[0] for y in given[1]))]


def _div(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    """The denominators drawn are at least 1, or nearly."""
    return [_hull(*(x / y for x in given[0] for y in given[1]))]


def _product(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    """MatMul and Conv by centre and radius: |error| <= radius |W| + |centre| radius_W + radius radius_W."""
    (a, b), (c, d), *bias = given
    x, r, w, s = (a + b) / 2, (b - a) / 2, (c + d) / 2, (d - c) / 2

    def product(p: Array, q: Array, *more: Array) -> Array:
        return bounds._evaluate(node, [p, q, *more])[0]

    zero = [np.zeros_like(low) for low, _ in bias]
    centre = product(x, w, *[(low + high) / 2 for low, high in bias])
    radius = product(r, np.abs(w) + s, *zero) + product(np.abs(x), s, *[(high - low) / 2 for low, high in bias])
    radius = radius + SLACK * product(np.abs(x), np.abs(w), *zero)
    return [(centre - radius, centre + radius)]


def _softmax(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    """Increasing in its own score, decreasing in the others."""
    low, high = given[0]
    shift = high.max(-1, keepdims=True)
    a, b = np.exp(low - shift), np.exp(high - shift)
    return [(a / (a + b.sum(-1, keepdims=True) - b), b / (b + a.sum(-1, keepdims=True) - a))]


def _layer_norm(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    """Whatever the data, |y| <= sqrt(N): the scale drawn is 1 and the bias 0."""
    low, high = given[0]
    most = np.full(low.shape, low.shape[-1] ** 0.5)
    mean = (low.mean(-1, keepdims=True), high.mean(-1, keepdims=True))
    least_error = np.maximum(np.abs(low - mean[1]), np.abs(high - mean[0]))
    spread = np.sqrt(attributes["epsilon"])
    naive = np.minimum(most, least_error / spread)
    return [(-naive, naive)]


def _cast(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    low, high = given[0]
    if attributes["to"] in EXACT or attributes["to"] == TensorProto.FLOAT16:
        wide = (_wide(np.asarray(low, np.float64)), _wide(np.asarray(high, np.float64)))
        if attributes["to"] != TensorProto.FLOAT16:
            return [wide]
        low, high = (np.asarray(end) for end in wide)
        low, high = low - 2.0**-11 * np.abs(low) - 2.0**-25, high + 2.0**-11 * np.abs(high) + 2.0**-25
        return [(low, high)]
    return [(np.trunc(low), np.trunc(high))]  # whole numbers, as floats: infinite bounds stay bounds


def _greater(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    (a, b), (c, d) = given
    return [(a > d, b > c)]


def _where(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    (surely, maybe), (a, b), (c, d) = given
    return [
        (
            np.where(surely, a, np.where(maybe, np.minimum(a, c), c)),
            np.where(surely, b, np.where(maybe, np.maximum(b, d), d)),
        )
    ]


def _topk(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    """The largest of a row never decreases; its place may be anywhere."""
    low, high = given[0]
    values = low.max(-1, keepdims=True), high.max(-1, keepdims=True)
    return [values, (np.zeros_like(values[0]), np.full_like(values[0], low.shape[-1] - 1))]


def _quantise(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    scale = given[1][0]
    return [tuple(np.clip(np.rint(end / scale), -128, 127) for end in given[0])]  # type: ignore[list-item]


def _dequantise(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    return [(given[0][0] * given[1][0], given[0][1] * given[1][0])]


def _shape(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    shape = np.array(given[0][0].shape, np.int64)
    return [(shape, shape)]


def _filled(bounds: Bounds, node: NodeProto, given: list[Any], attributes: Mapping[str, Any]) -> list[Interval]:
    value = np.full(given[0][0], _wide(numpy_helper.to_array(attributes["value"]))[0])
    return [(value, value)]


SPECIAL = {
    "Abs": _abs, "Cast": _cast, "ConstantOfShape": _filled, "Conv": _product, "DequantizeLinear": _dequantise,
    "Div": _div, "Greater": _greater, "LayerNormalization": _layer_norm, "MatMul": _product, "Mul": _mul, "Neg": _neg,
    "QuantizeLinear": _quantise, "Shape": _shape, "Softmax": _softmax, "Sub": _sub, "TopK": _topk, "Where": _where,
}  # fmt: skip
