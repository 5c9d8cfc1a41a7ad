"""Unfold by blocks of g = gcd(size, step) values: a window is size/g of them, and one starts at every (step/g)-th.

    (..., D, ...) -> (..., D/g, g, ...);  window p = blocks p*step/g ... p*step/g + size/g - 1
    y = Concat over m < size/g of Slice(blocks, m :: step/g), the blocks' inside moved last

With step = size (windows that do not overlap) that is one Reshape and one Transpose; with size 64 and step 32, two
Slices where the plain form takes 64. Values that no block covers are cut off first.
"""

from math import gcd
from typing import Any

from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.values import known
from .im2col_slices import tap_bounds
from .lowering import LAUNCH, Lowering, Where
from .unfold_slices import axis_refusal


def _refuse(node: Any, where: Where) -> str | None:
    size, step = node.attrs["size"], node.attrs["step"]
    if gcd(size, step) == 1:
        return f"windows of {size} with step {step} share no block longer than 1"
    return axis_refusal(node, where)


def _cost(node: Any) -> float:
    blocks = int(node.attrs["size"]) // gcd(node.attrs["size"], node.attrs["step"])
    return (1.0 if blocks == 1 else 3.0) + LAUNCH * (blocks + 4)


def _build(emit: GraphBuilder, node: Any) -> Value:
    axis, size, step = (node.attrs[key] for key in ("axis", "size", "step"))
    x, block = node.inputs[0], gcd(size, step)
    rank = len(x.shape)
    length = known(x, axis)
    if length is None or length % block:
        x = emit.slice(x, [0], [emit.mul(emit.floordiv(emit.dim(x, axis), block), block)], [axis])
    after = [emit.dim(node.inputs[0], later) for later in range(axis + 1, rank)]
    blocks = emit.reshape(x, [*[0] * axis, -1, block, *after])
    order = [*range(axis + 1), *range(axis + 2, rank + 1), axis + 1]
    inside_last = emit.unsqueeze(emit.transpose(blocks, order), [rank])  # (..., D/g, ..., 1, g)
    count = size // block
    places = []
    for m in range(count):
        start, end = tap_bounds(m, count, 1)
        places.append(emit.slice(inside_last, [start], [end], [axis], [step // block]))
    windows = emit.concat(places, axis=rank)
    merged: list[Dim] = [0] * rank
    return emit.reshape(windows, [*merged, size])


LOWERING = Lowering("unfold_blocks", "Unfold", _refuse, _cost, _build)
