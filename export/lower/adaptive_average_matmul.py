"""AdaptiveAverage as a product with the exact pooling matrix: any length to any length, dividing or not, up or down.

    y = x @ M along the axis,   M[s, p] = 1/(b(p) - a(p)) where a(p) <= s < b(p), else 0

For known lengths M is an initializer of S*O values, else it is computed from the two lengths in integers. The last axis
multiplies from the right (one matrix product for all rows), another from the left. A pool of one fixed kernel, which
some exporters write, is wrong as soon as O does not divide S.
"""

from typing import Any

import numpy as np

from ..domain.adaptive_windows import windows
from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.values import known
from .adaptive_blocks import output_length
from .lowering import LAUNCH, Lowering
from .unfold_slices import axis_refusal


def bounds(emit: GraphBuilder, size: Dim, count: Dim) -> tuple[Value, Value]:
    """First and past-the-last index of every window, (O, 1) int64 each, where a length is computed."""
    number, extent = emit.vector([count]), emit.vector([size])
    zero, one = emit.constant(0, np.int64), emit.constant(1, np.int64)
    p = emit.op("Range", zero, emit.squeeze(number, [0]), one)
    starts = emit.op("Div", emit.op("Mul", p, extent), number)
    reach = emit.op("Add", emit.op("Mul", emit.op("Add", p, one), extent), number)
    ends = emit.op("Div", emit.op("Sub", reach, one), number)
    return emit.unsqueeze(starts, [1]), emit.unsqueeze(ends, [1])


def _cost(node: Any) -> float:
    size = known(node.inputs[0], node.attrs["axis"]) or 64
    computed = known(node.outputs[0], node.attrs["axis"]) is None or known(node.inputs[0], node.attrs["axis"]) is None
    return 2.0 + size / 16 + LAUNCH * (25 if computed else 1)


def _matrix(emit: GraphBuilder, size: Dim, count: Dim, dtype: Any) -> Value:
    """The pooling matrix with windows as rows, (O, S)."""
    if isinstance(size, int) and isinstance(count, int):
        starts, ends = windows(size, count)
        index = np.arange(size)
        inside = (index >= starts[:, None]) & (index < ends[:, None])
        return emit.constant(inside / (ends - starts)[:, None], dtype, "windows")
    starts, ends = bounds(emit, size, count)
    index = emit.count(emit.vector([size]))
    after = emit.op("GreaterOrEqual", index, starts, dtype=np.bool_)
    inside = emit.op("And", after, emit.op("Less", index, ends, dtype=np.bool_))
    lengths = emit.cast(emit.op("Sub", ends, starts), np.float32)
    return emit.cast(emit.op("Div", emit.cast(inside, np.float32), lengths), dtype)


def _build(emit: GraphBuilder, node: Any) -> Value:
    x, axis = node.inputs[0], node.attrs["axis"]
    rank = len(x.shape)
    count = output_length(emit, node)
    matrix = _matrix(emit, emit.dim(x, axis), count, x.dtype)
    if axis == rank - 1:
        return emit.op("MatMul", x, _turned(emit, matrix))
    if axis == rank - 2:
        return emit.op("MatMul", matrix, x)
    after = [emit.dim(x, later) for later in range(axis + 1, rank)]
    flat = emit.reshape(x, [*[0] * (axis + 1), -1])
    return emit.reshape(emit.op("MatMul", matrix, flat), [*[0] * (axis + 1), *after])


def _turned(emit: GraphBuilder, matrix: Value) -> Value:
    values = getattr(matrix, "values", None)
    if values is not None:
        return emit.constant(np.ascontiguousarray(values.T), values.dtype, "windows")
    return emit.transpose(matrix, [1, 0])


LOWERING = Lowering("adaptive_average_matmul", "AdaptiveAverage", axis_refusal, _cost, _build)
