"""DeformConv as gathered bilinear taps and one matrix product: for targets without the operator (TensorRT-RTX).

    V[(n, p), (g, t), c] = mask * sum over four corners of weight * x[n, g, c at the corner]     rows of C/offset_group
    y[n, :, p]           = bias + V[(n, p), :] @ W[(g, t, c), :]

The offsets are transposed to (n, p, g, t) first, so what is gathered already lies in the order that the product reads: no
tensor of taps is ever transposed, only the small index arithmetic is. The mask goes into the corners' weights. With
``group`` > 1 the product is one for each group, batched, where groups and offset groups nest.
"""

from math import gcd
from typing import Any

import numpy as np

from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.values import known, rank_refusal
from .local_window import given
from .lowering import LAUNCH, Lowering, Where
from .sampling import SampledAxis, corners_of, product_of, starts_of, weighted_sum


def _refuse(node: Any, where: Where) -> str | None:
    group, parts = int(node.attrs["group"]), int(node.attrs["offset_group"])
    if gcd(group, parts) != min(group, parts):
        return f"{group} groups and {parts} offset groups do not nest"
    for value, name in zip(node.inputs, ("x", "weight", "offset"), strict=False):
        if (refusal := rank_refusal(value, 4, name)) is not None:
            return refusal
    free = any(known(node.inputs[1], axis) is None for axis in range(4))
    return "the shape of the weight is not known" if free else None


def _cost(node: Any) -> float:
    kh, kw = (int(known(node.inputs[1], axis) or 1) for axis in (2, 3))
    return 15.0 * kh * kw + LAUNCH * 60


def _bases(emit: GraphBuilder, out: list[Dim], node: Any, kind: Any) -> list[Value]:
    """Where each tap lies without its offset, (1, Ho or 1, Wo or 1, 1, taps) for h and for w."""
    kh, kw = (int(known(node.inputs[1], axis) or 1) for axis in (2, 3))
    bases = []
    for axis, taps in enumerate(np.indices((kh, kw)).reshape(2, -1)):
        step, before = int(node.attrs["stride"][axis]), int(node.attrs["pads"][axis])
        reach = taps * int(node.attrs["dilation"][axis]) - before
        length = out[axis]
        others = [0, 2, 3, 4] if axis == 0 else [0, 1, 3, 4]
        if isinstance(length, int):
            column = np.expand_dims(np.arange(length) * step, others)
            bases.append(emit.constant(column + reach, kind, "places"))
            continue
        starts = emit.unsqueeze(emit.op("Mul", emit.count(length), emit.ints([step])), others)
        bases.append(emit.cast(emit.op("Add", starts, emit.constant(reach, np.int64, "reach")), kind))
    return bases


def _corner_taps(emit: GraphBuilder, node: Any, kind: Any, space: list[Dim], out: list[Dim]) -> list[list[Any]]:
    """The two taps of each axis for every (n, p, g, t), vectors of one number per tap."""
    offset, parts = node.inputs[2], int(node.attrs["offset_group"])
    taps = int(known(node.inputs[1], 2) or 1) * int(known(node.inputs[1], 3) or 1)
    split = emit.reshape(emit.cast(offset, kind), [0, parts, taps, 2, *out])
    moved = emit.transpose(split, [3, 0, 4, 5, 1, 2])  # (2, N, Ho, Wo, offset_group, taps)
    found = []
    for axis, base in enumerate(_bases(emit, out, node, kind)):
        move = emit.squeeze(emit.slice(moved, [axis], [axis + 1], [0]), [0])
        pixel = emit.reshape(emit.op("Add", move, base), [-1])
        found.append(SampledAxis(emit, space[axis], kind, 2).taps(pixel))
    return found


def _build(emit: GraphBuilder, node: Any) -> Value:
    x, weight, offset = node.inputs[:3]
    group, parts = int(node.attrs["group"]), int(node.attrs["offset_group"])
    outputs, inner, kh, kw = (int(known(weight, axis) or 1) for axis in range(4))
    channels, taps = inner * group, kh * kw
    width = channels // parts
    kind = np.dtype(np.float64 if x.dtype == np.float64 else np.float32)
    batch, space = emit.dim(x, 0), [emit.dim(x, axis) for axis in (2, 3)]
    out = [emit.dim(offset, axis) for axis in (2, 3)]

    corners = corners_of(
        emit, _corner_taps(emit, node, kind, space, out), space, _starts(emit, node, batch, space, out)
    )
    mask = given(node, 3)
    if mask is not None:
        split = emit.reshape(emit.cast(mask, kind), [0, parts, taps, *out])
        flat = emit.reshape(emit.transpose(split, [0, 3, 4, 1, 2]), [-1])
        corners = [(row, emit.op("Mul", corner, flat)) for row, corner in corners]
    images = emit.reshape(x, [emit.mul(batch, parts), width, -1])
    rows = emit.reshape(emit.transpose(images, [0, 2, 1]), [-1, width])  # (N*offset_group*H*W, C/offset_group)
    values = emit.cast(weighted_sum(emit, rows, corners, width, kind), x.dtype)  # (N*P*offset_group*taps, ...)

    points = _product(emit, values, weight, group, parts, width, taps, outputs)
    bias = given(node, 4)
    if bias is not None:
        points = emit.op("Add", points, bias)
    by_image = emit.reshape(points, [batch, -1, outputs])
    return emit.reshape(emit.transpose(by_image, [0, 2, 1]), [0, 0, *out])


def _starts(emit: GraphBuilder, node: Any, batch: Dim, space: list[Dim], out: list[Dim]) -> Value | None:
    """Where the image part of every (n, p, g, t) starts among all rows."""
    parts = int(node.attrs["offset_group"])
    taps = int(known(node.inputs[1], 2) or 1) * int(known(node.inputs[1], 3) or 1)
    points = product_of(emit, out)
    if parts == 1:
        return starts_of(emit, batch, space, emit.mul(points, taps))
    size = emit.vector([product_of(emit, space)])
    first = emit.op("Mul", emit.ints(range(parts), "parts"), size)
    by_part = emit.op("Expand", emit.unsqueeze(first, [1]), emit.ints([parts, taps]))  # (offset_group, taps)
    front = starts_of(emit, batch, [parts, *space], points)
    if front is None:
        shape = emit.vector([points, parts, taps])
        return emit.reshape(emit.op("Expand", by_part, shape), [-1])
    return emit.reshape(emit.op("Add", emit.unsqueeze(front, [1, 2]), by_part), [-1])


def _product(
    emit: GraphBuilder, values: Value, weight: Value, group: int, parts: int, width: int, taps: int, outputs: int
) -> Value:
    """(N*P*parts*taps, width) by the weight -> (N*P, outputs)."""
    if group <= parts:  # each group reads whole offset groups
        inner = parts // group
        kernels = emit.reshape(weight, [group, outputs // group, inner, width, taps])
        matrix = emit.reshape(emit.transpose(kernels, [0, 2, 4, 3, 1]), [group, inner * taps * width, outputs // group])
        columns = emit.reshape(values, [-1, group, inner * taps * width])
    else:  # several groups read one offset group
        inner = group // parts
        kernels = emit.reshape(weight, [group, outputs // group, width // inner, taps])
        matrix = emit.reshape(emit.transpose(kernels, [0, 3, 2, 1]), [group, taps * (width // inner), outputs // group])
        spread = emit.reshape(values, [-1, parts, taps, inner, width // inner])
        columns = emit.reshape(emit.transpose(spread, [0, 1, 3, 2, 4]), [-1, group, taps * (width // inner)])
    if group == 1:
        return emit.op("MatMul", emit.squeeze(columns, [1]), emit.squeeze(matrix, [0]))
    products = emit.op("MatMul", emit.transpose(columns, [1, 0, 2]), matrix)  # (group, N*P, outputs/group)
    return emit.reshape(emit.transpose(products, [1, 0, 2]), [-1, outputs])


LOWERING = Lowering("deform_conv_gather", "DeformConv", _refuse, _cost, _build)
