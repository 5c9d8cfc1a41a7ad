"""Interpolation by gathered taps, written out exactly: what both GridSample lowerings by Gather share.

Per axis, the grid's position becomes a pixel coordinate, the padding rule maps it, and the mode gives taps with weights:

    pixel   = (position + 1)/2 * (size - 1)   corners aligned,   ((position + 1)*size - 1)/2   otherwise
    border  : clip to [0, size - 1];   reflection : fold at the borders, then clip;   zeros : weight 0 outside
    nearest : round half to even;   bilinear : floor and floor + 1;   bicubic : floor - 1 .. floor + 2, Keys, a = -0.75

and the sample is the sum over the product of the axes' taps of weight * x[tap]. Positions are split by axis, so that all
index arithmetic runs on contiguous vectors of one number per point, once per grid and never per channel; x is laid out
with channels last, and a corner is one Gather of rows. Where rows are long and taps many, one Gather and one batched
MatMul with the weights is faster than a Mul and an Add per corner (ONNX Runtime CPU: 1.4x to 1.7x for 64 channels).

Coordinates and weights are FP32 (FP64 for a double grid) whatever the type of x. NaN and infinite positions act as in
PyTorch's CPU kernels, see domain/sampling.py. Source: ATen/native/GridSampler.h.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..graph.builder import Dim, GraphBuilder, Value

_A = -0.75
_LONG = 512  # taps * channels from which the MatMul pays
_REFLECTED = 1e9  # beyond it ATen's own integers overflow, to pixel 0


Tap = tuple[Value, Value | None]
"""int64 index inside the axis (or among the rows), and weight, None for 1."""


@dataclass
class SampledAxis:
    """One axis of an image (``axes`` 2) or volume (3): its ``length``, also as float values, and the arithmetic along it."""

    emit: GraphBuilder
    length: Dim
    kind: Any
    axes: int
    mode: str = "bilinear"
    padding: str = "zeros"
    align: bool = False

    def __post_init__(self) -> None:
        emit, length, known = self.emit, self.length, isinstance(self.length, int)
        self.size = self.number(length) if known else emit.cast(emit.squeeze(length, [0]), self.kind)
        self.last = self.number(length - 1) if known else emit.op("Sub", self.size, self.number(1))

    def number(self, value: float) -> Value:
        """A constant of the coordinates' type."""
        return self.emit.constant(value, self.kind, "number")

    def op(self, kind: str, *operands: Value | float) -> Value:
        """An elementwise operator; plain numbers become constants."""
        values = [self.number(operand) if isinstance(operand, (int, float)) else operand for operand in operands]
        return self.emit.op(kind, *values)

    def where(self, relation: str, left: Value, right: Value | float, chosen: Value, other: Value | float) -> Value:
        """``chosen`` where the relation holds (so not at NaN), else ``other``."""
        bound, rest = (self.number(v) if isinstance(v, (int, float)) else v for v in (right, other))
        condition = self.emit.op(relation, left, bound, dtype=np.bool_)
        return self.emit.op("Where", condition, chosen, rest, dtype=self.kind)

    def pixels(self, position: Value) -> Value:
        """From a position in [-1, 1] to a pixel coordinate."""
        up = self.op("Add", position, 1.0)
        if self.align:
            return self.op("Mul", self.op("Mul", up, 0.5), self.last)
        return self.op("Mul", self.op("Sub", self.op("Mul", up, self.size), 1.0), 0.5)

    def clip(self, pixel: Value) -> Value:
        """To [0, size - 1]; NaN to the first pixel of an image's axis, to the last of a volume's."""
        if self.axes == 2:
            return self.where("Greater", pixel, 0.0, self.op("Min", pixel, self.last), 0.0)
        return self.where("Less", pixel, self.last, self.op("Max", pixel, 0.0), self.last)

    def near(self, pixel: Value, reach: float) -> Value:
        """To at most ``reach`` beyond the axis, where every tap lies outside; NaN too."""
        high = self.op("Min", pixel, self.op("Add", self.last, reach))
        return self.where("Greater", pixel, -reach, high, -reach)

    def reflect(self, pixel: Value) -> Value:
        """Fold at the borders: a triangular wave of period twice the span. A span of 0 gives NaN, for the clip."""
        low, span = (0.0, self.last) if self.align else (-0.5, self.size)
        period = self.op("Mul", span, 2.0)
        distance = self.op("Abs", self.op("Sub", pixel, low)) if low else self.op("Abs", pixel)
        whole = self.op("Mul", self.op("Floor", self.op("Div", distance, period)), period)
        rest = self.op("Sub", distance, whole)
        folded = self.op("Min", rest, self.op("Sub", period, rest))
        return self.op("Add", folded, low) if low else folded

    def pad(self, pixel: Value) -> Value:
        """The padding rule's pixel, inside the axis unless the rule is zeros."""
        if self.padding == "zeros":
            return pixel
        return self.clip(self.reflect(pixel) if self.padding == "reflection" else pixel)

    def taps(self, pixel: Value) -> list[Tap]:
        """Every tap of a pixel coordinate; ``near``, ``clip`` and ``reflect`` see to what lies beyond the axis."""
        if self.mode == "bicubic":
            return self.cubic_taps(pixel)
        inner = self.near(pixel, 1.0) if self.padding == "zeros" else self.pad(pixel)
        if self.mode == "nearest":
            return [self.inside(self.op("Round", inner), None)]
        base = self.op("Floor", inner)
        part = self.op("Sub", inner, base)
        if self.padding == "zeros" and self.axes == 2:
            part = self.op("Add", part, self.undefined(pixel))
        return [self.inside(base, self.op("Sub", 1.0, part)), self.inside(self.op("Add", base, 1.0), part)]

    def cubic_taps(self, pixel: Value) -> list[Tap]:
        """Keys' taps at -1, 0, 1, 2 from the floor, by their factored polynomials of the fraction t."""
        if self.padding == "reflection":
            finite = self.where("Less", self.op("Abs", pixel), _REFLECTED, pixel, 0.0)
        else:
            finite = self.near(pixel, 3.0)
        base = self.op("Floor", finite)
        t = self.op("Add", self.op("Sub", finite, base), self.undefined(pixel))
        rest = self.op("Sub", 1.0, t)
        bend = self.op("Mul", self.op("Mul", t, rest), _A)

        def near(d: Value) -> Value:
            inner = self.op("Sub", self.op("Mul", d, _A + 2), _A + 3)
            return self.op("Add", self.op("Mul", self.op("Mul", inner, d), d), 1.0)

        weights = [self.op("Mul", bend, rest), near(t), near(rest), self.op("Mul", bend, t)]
        places = [self.op("Add", base, float(offset)) if offset else base for offset in (-1, 0, 1, 2)]
        return [self.inside(self.pad(place), weight) for place, weight in zip(places, weights, strict=True)]

    def undefined(self, pixel: Value) -> Value:
        """0, or NaN where the coordinate is not finite."""
        return self.op("Mul", pixel, 0.0)

    def inside(self, place: Value, weight: Value | None) -> Tap:
        """The tap with an index that exists: beyond the axis it is the border's and, with zeros, weighs nothing."""
        emit = self.emit
        held = emit.op("Clip", place, self.number(0), self.last)
        if self.padding != "zeros":
            return emit.cast(held, np.int64), weight
        counts = emit.cast(emit.op("Equal", held, place, dtype=np.bool_), self.kind)
        return emit.cast(held, np.int64), counts if weight is None else self.op("Mul", weight, counts)


def sample_by_gather(emit: GraphBuilder, node: Any) -> Value:
    """x (N, C, *space) read at grid (N, *out, axes) -> (N, C, *out), by Gathers of rows of channels."""
    x, grid = node.inputs
    axes = len(x.shape) - 2
    kind = np.dtype(np.float64 if grid.dtype == np.float64 else np.float32)
    batch, channels = emit.dim(x, 0), emit.dim(x, 1)
    out = [emit.dim(grid, axis + 1) for axis in range(axes)]
    columns = emit.cast(emit.reshape(grid, [-1, axes]), kind)
    space = [emit.dim(x, axis + 2) for axis in range(axes)]
    rules = (str(node.attrs["mode"]), str(node.attrs["padding_mode"]), bool(node.attrs["align_corners"]))
    taps = []
    for axis, size in enumerate(space):
        column = axes - 1 - axis  # the grid holds x before y before z
        position = emit.squeeze(emit.slice(columns, [column], [column + 1], [1]), [1])  # (N*P,)
        rule = SampledAxis(emit, size, kind, axes, *rules)
        taps.append(rule.taps(rule.pixels(position)))
    corners = corners_of(emit, taps, space, starts_of(emit, batch, space, product_of(emit, out)))

    rows = emit.transpose(emit.reshape(x, [0, 0, -1]), [0, 2, 1])
    rows = emit.reshape(rows, [-1, channels])  # (N*space, C)
    values = weighted_sum(emit, rows, corners, channels, kind)
    points = emit.reshape(values, [batch, -1, channels])
    moved = emit.cast(emit.transpose(points, [0, 2, 1]), x.dtype)
    return emit.reshape(moved, [0, 0, *out])


def starts_of(emit: GraphBuilder, batch: Dim, space: Sequence[Dim], points: Dim) -> Value | None:
    """Where the image of every point starts among all rows, (N*points,) int64; None for a batch of 1."""
    if isinstance(batch, int) and batch == 1:
        return None
    index = emit.ints(range(batch), "images") if isinstance(batch, int) else emit.count(batch)
    scaled = emit.op("Mul", index, emit.vector([product_of(emit, space)]))
    wide = emit.op("Expand", emit.unsqueeze(scaled, [1]), emit.vector([batch, points]))
    return emit.reshape(wide, [-1])


def product_of(emit: GraphBuilder, sizes: Sequence[Dim]) -> Dim:
    """The product of sizes."""
    total = sizes[0]
    for size in sizes[1:]:
        total = emit.mul(total, size)
    return total


def corners_of(
    emit: GraphBuilder, taps: Sequence[Sequence[Tap]], space: Sequence[Dim], starts: Value | None
) -> list[Tap]:
    """(row, weight) of every corner; what corners share (a plane, a line) is computed once."""
    corners = list(taps[0])
    for axis, size in enumerate(space[1:], 1):
        extent = emit.vector([size])
        scaled = [(emit.op("Mul", index, extent), weight) for index, weight in corners]
        line = list(taps[axis])
        if axis == len(space) - 1 and starts is not None:
            line = [(emit.op("Add", index, starts), weight) for index, weight in line]
        corners = [
            (emit.op("Add", row, index), _times(emit, above, weight))
            for (row, above), (index, weight) in product(scaled, line)
        ]
    return corners


def _times(emit: GraphBuilder, a: Value | None, b: Value | None) -> Value | None:
    if a is None or b is None:
        return b if a is None else a
    return emit.op("Mul", a, b)


def weighted_sum(emit: GraphBuilder, rows: Value, corners: Sequence[Tap], channels: Dim, kind: Any) -> Value:
    """The sum over corners of weight * row, (points, C): of ``kind``, or of the rows' type where nothing is weighed."""
    if len(corners) > 1 and isinstance(channels, int) and len(corners) * channels >= _LONG:
        index = emit.concat([emit.unsqueeze(row, [1]) for row, _ in corners], axis=1)  # (N*P, K)
        weights = emit.concat([emit.unsqueeze(weight, [1]) for _, weight in corners], axis=1)
        taps = emit.cast(emit.op("Gather", rows, index, axis=0), kind)  # (N*P, K, C)
        summed = emit.op("MatMul", emit.unsqueeze(weights, [1]), taps)  # (N*P, 1, C)
        return emit.reshape(summed, [-1, channels])
    terms = []
    for index, weight in corners:
        values = emit.op("Gather", rows, index, axis=0)
        if weight is not None:
            values = emit.op("Mul", emit.cast(values, kind), emit.unsqueeze(weight, [1]))
        terms.append(values)
    return emit.sum(terms)
