"""AffineGrid as a sum over the axes, broadcast: the base grid of the usual matrix product is never stored.

    grid[n, (d,) h, w, :] = theta[n, :, 0]*x_w + theta[n, :, 1]*y_h (+ theta[n, :, 2]*z_d) + theta[n, :, -1]
    x_w = -1 + 2*w/(W-1) when corners are aligned (0 when W is 1), else -1 + (2*w + 1)/W

The positions of an axis of known length are an initializer of that length; of another they are computed by Range, in
FP32 at least. On ONNX Runtime's CPU broadcasting over a last axis of 2 or 3 is slow, see
affine_grid_matmul. Source: Jaderberg et al., arXiv:1506.02025, eq. 1.
"""

from typing import Any

import numpy as np

from ..domain.affine_grid import axis_positions
from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.values import known, rank_refusal
from .lowering import LAUNCH, Lowering, Where, length_asked_for


def axes_of(node: Any) -> int:
    """2 or 3, by whichever of theta, size and grid is known; 0 when none is."""
    theta, size, grid = node.inputs[0], node.inputs[1], node.outputs[0]
    if (axes := known(theta, 1)) is not None:
        return axes
    if (entries := known(size, 0)) is not None:
        return entries - 2
    return len(grid.shape) - 2 if grid.shape is not None else 0


def refuse(node: Any, where: Where) -> str | None:
    """The reason to refuse grids of other than two or three dimensions."""
    axes = axes_of(node)
    if axes not in (2, 3):
        return f"the grid's dimensions must be 2 or 3 and are {axes or 'not known'}"
    return rank_refusal(node.inputs[0], 3, "theta")


def positions_of(emit: GraphBuilder, length: Dim, align_corners: int, dtype: Any) -> Value:
    """The normalised positions along one axis, (length,) of ``dtype``."""
    if isinstance(length, int):
        return emit.constant(axis_positions(length, align_corners), dtype, "positions")
    kind = np.dtype(np.float64 if dtype == np.float64 else np.float32)

    def number(value: float) -> Value:
        return emit.constant(value, kind, "number")

    index = emit.cast(emit.count(length), kind)
    extent = emit.cast(length, kind)
    twice = emit.op("Mul", index, number(2))
    if align_corners:
        gaps = emit.op("Sub", extent, number(1))
        scaled = emit.op("Div", twice, emit.op("Max", gaps, number(1)))
        start = emit.op("Min", gaps, number(1))  # 1, or 0 for the single sample in the middle
    else:
        scaled = emit.op("Div", emit.op("Add", twice, number(1)), extent)
        start = number(1)
    return emit.cast(emit.op("Sub", scaled, start), dtype)


def _build(emit: GraphBuilder, node: Any) -> Value:
    theta, axes = node.inputs[0], axes_of(node)
    middle = list(range(1, axes + 1))
    terms = []
    for column in range(axes):  # column 0 of theta goes with the last axis of the grid
        axis = axes - 1 - column
        length = length_asked_for(emit, node, axis + 1, axis + 2)
        positions = positions_of(emit, length, node.attrs["align_corners"], theta.dtype)
        shaped = emit.unsqueeze(positions, [place for place in range(axes + 2) if place != axis + 1])
        factor = emit.squeeze(emit.slice(theta, [column], [column + 1], [2]), [2])
        terms.append(emit.op("Mul", emit.unsqueeze(factor, middle), shaped))
    shift = emit.squeeze(emit.slice(theta, [axes], [axes + 1], [2]), [2])
    return emit.sum([*terms, emit.unsqueeze(shift, middle)])


LOWERING = Lowering("affine_grid_axes", "AffineGrid", refuse, lambda node: 60.0 + LAUNCH * 12, _build)
