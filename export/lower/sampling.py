"""Interpolation by gathered taps, written out exactly: what both GridSample lowerings by Gather share.

Per axis, the grid's position becomes a pixel coordinate, the padding rule maps it, and the mode gives integer taps
with weights:

    pixel   = (position + 1)/2 * (size - 1)   corners aligned,   ((position + 1)*size - 1)/2   otherwise border  :
    clip to [0, size - 1];   reflection : fold at the borders, then clip;   zeros : weight 0 outside nearest : round
    half to even;   bilinear : floor and floor + 1;   bicubic : floor - 1 .. floor + 2, Keys' kernel, a = -0.75

and the sample is the sum over the product of the axes' taps of weight * x[tap]. All taps are read by one GatherND
over x with channels last. Coordinates and weights are FP32 (FP64 for a double grid) whatever the type of x. Source:
ATen/native/GridSampler.h; NaN and infinite coordinates act as in its two-dimensional CPU kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from .emit import Dim, Emit, Value

TAPS = {"nearest": 1, "bilinear": 2, "bicubic": 4}
_A = -0.75


class _Axis:
    """One axis of the image: its size as float and integer values, and the arithmetic of a coordinate along it."""

    def __init__(self, emit: Emit, node: Any, size: Dim, kind: Any) -> None:
        self.emit, self.kind = emit, kind
        self.mode = str(node.attrs["mode"])
        self.padding = str(node.attrs["padding_mode"])
        self.align = bool(node.attrs["align_corners"])
        self.size = self.number(size) if isinstance(size, int) else emit.cast(size, kind)
        self.last = self.number(size - 1) if isinstance(size, int) else emit.op("Sub", self.size, self.number(1))

    def number(self, value: float) -> Value:
        return self.emit.constant(value, self.kind, "number")

    def op(self, kind: str, *operands: Value | float) -> Value:
        """An elementwise operator; plain numbers become constants."""
        values = [self.number(operand) if isinstance(operand, (int, float)) else operand for operand in operands]
        return self.emit.op(kind, *values)

    def pixels(self, position: Value) -> Value:
        up = self.op("Add", position, 1.0)
        if self.align:
            return self.op("Mul", self.op("Mul", up, 0.5), self.last)
        return self.op("Mul", self.op("Sub", self.op("Mul", up, self.size), 1.0), 0.5)

    def clip(self, pixel: Value) -> Value:
        """To [0, size - 1], NaN to 0."""
        positive = self.emit.op("Greater", pixel, self.number(0), dtype=np.bool_)
        return self.emit.op("Where", positive, self.op("Min", pixel, self.last), self.number(0), dtype=self.kind)

    def reflect(self, pixel: Value) -> Value:
        """Fold at the borders: a triangular wave of period twice the span. A span of 0 gives NaN, which clips to 0."""
        low, span = (0.0, self.last) if self.align else (-0.5, self.size)
        period = self.op("Mul", span, 2.0)
        distance = self.op("Abs", self.op("Sub", pixel, low)) if low else self.op("Abs", pixel)
        whole = self.op("Mul", self.op("Floor", self.op("Div", distance, period)), period)
        rest = self.op("Sub", distance, whole)
        folded = self.op("Min", rest, self.op("Sub", period, rest))
        return self.op("Add", folded, low) if low else folded

    def pad(self, pixel: Value) -> Value:
        if self.padding == "reflection":
            pixel = self.reflect(pixel)
        return pixel if self.padding == "zeros" else self.clip(pixel)

    def taps(self, position: Value) -> list[tuple[Value, Value | None]]:
        """(int64 index inside the axis, weight or None for 1) of every tap."""
        pixel = self.pixels(position)
        if self.mode == "bicubic":
            base = self.op("Floor", pixel)
            weights = self.cubic(self.op("Sub", pixel, base))
            places = [self.op("Add", base, float(offset)) if offset else base for offset in (-1, 0, 1, 2)]
            return [self.inside(self.pad(place), weight) for place, weight in zip(places, weights, strict=True)]
        pixel = self.pad(pixel)
        if self.mode == "nearest":
            return [self.inside(self.op("Round", pixel), None)]
        base = self.op("Floor", pixel)
        part = self.op("Sub", pixel, base)
        return [self.inside(base, self.op("Sub", 1.0, part)), self.inside(self.op("Add", base, 1.0), part)]

    def inside(self, place: Value, weight: Value | None) -> tuple[Value, Value | None]:
        """The tap with an index that exists: beyond the axis it is 0 and, with padding zeros, weighs nothing."""
        emit = self.emit
        if self.padding != "zeros":
            # After clipping only bilinear's second tap can lie outside, by one, and then its weight is 0.
            return emit.cast(self.op("Min", place, self.last), np.int64), weight
        above = emit.op("GreaterOrEqual", place, self.number(0), dtype=np.bool_)
        below = emit.op("LessOrEqual", place, self.last, dtype=np.bool_)
        valid = emit.op("And", above, below)
        index = emit.cast(emit.op("Where", valid, place, self.number(0), dtype=self.kind), np.int64)
        counts = emit.cast(valid, self.kind)
        return index, counts if weight is None else self.op("Mul", weight, counts)

    def cubic(self, t: Value) -> list[Value]:
        """Keys' weights of the taps at -1, 0, 1, 2 for a fraction t."""

        def near(d: Value) -> Value:
            inner = self.op("Sub", self.op("Mul", d, _A + 2), _A + 3)
            return self.op("Add", self.op("Mul", self.op("Mul", inner, d), d), 1.0)

        def far(d: Value) -> Value:
            inner = self.op("Add", self.op("Mul", self.op("Sub", self.op("Mul", d, _A), 5 * _A), d), 8 * _A)
            return self.op("Sub", self.op("Mul", inner, d), 4 * _A)

        rest = self.op("Sub", 1.0, t)
        return [far(self.op("Add", t, 1.0)), near(t), near(rest), far(self.op("Add", rest, 1.0))]


def _product(emit: Emit, weights: Sequence[Value | None]) -> Value | None:
    factors = [weight for weight in weights if weight is not None]
    if not factors:
        return None
    total = factors[0]
    for factor in factors[1:]:
        total = emit.op("Mul", total, factor)
    return total


def tap_cost(node: Any, axes: int) -> float:
    """Passes over the output: x moved to channels last, every tap read, weighted and added, the result moved back."""
    return 2.0 + 2.5 * float(TAPS[str(node.attrs["mode"])] ** axes)


def sample_by_gather(emit: Emit, node: Any) -> Value:
    """x (N, C, *space) read at grid (N, *out, axes) -> (N, C, *out), by one GatherND."""
    x, grid = node.inputs
    axes = len(x.shape) - 2
    kind = np.dtype(np.float64 if grid.dtype == np.float64 else np.float32)
    points = emit.cast(emit.reshape(grid, [0, -1, axes]), kind)  # (N, P, axes)
    space = [emit.dim(x, axis + 2) for axis in range(axes)]
    taps = []
    for axis, size in enumerate(space):
        column = axes - 1 - axis  # the grid holds x before y before z
        position = emit.slice(points, [column], [column + 1], [2])  # (N, P, 1)
        taps.append(_Axis(emit, node, size, kind).taps(position))
    corners = list(product(*taps))

    strides = [emit.vector([_stride(emit, space, axis)]) for axis in range(axes - 1)]
    scaled = [
        [index if axis == axes - 1 else emit.op("Mul", index, strides[axis]) for index, _ in taps[axis]]
        for axis in range(axes)
    ]
    index = emit.concat([emit.sum(parts) for parts in product(*scaled)], axis=1)  # (N, K*P, 1)
    pixels = emit.transpose(emit.reshape(x, [0, 0, -1]), [0, 2, 1])  # (N, H*W, C)
    values = emit.op("GatherND", pixels, index, batch_dims=1)  # (N, K*P, C)

    weights = [_product(emit, [weight for _, weight in corner]) for corner in corners]
    if weights[0] is not None:
        values = emit.op("Mul", emit.cast(values, kind), emit.concat(weights, axis=1))
    if len(corners) > 1:
        channels = emit.dim(x, 1)
        by_tap = emit.reshape(values, [0, len(corners), -1, channels])
        values = emit.op("ReduceSum", by_tap, emit.ints([1]), keepdims=0)  # (N, P, C)
    moved = emit.cast(emit.transpose(values, [0, 2, 1]), x.dtype)
    return emit.reshape(moved, [0, 0, *(emit.dim(grid, axis + 1) for axis in range(axes))])


def _stride(emit: Emit, space: Sequence[Dim], axis: int) -> Dim:
    if all(isinstance(size, int) for size in space):
        return prod(space[axis + 1 :])
    total = space[axis + 1]
    for size in space[axis + 2 :]:
        total = emit.mul(total, size)
    return total
