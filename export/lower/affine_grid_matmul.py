"""AffineGrid as the product of a base grid with theta: one row (x, y, (z,) 1) for each point.

    grid[n] = base @ theta[n]^T,   base (points, a + 1), made from the axis positions and the same for all n

The product writes the points as GridSample reads them. With known sizes the base is a subgraph of constants, which a
runtime folds when it loads the model, so that the file holds only the positions of each axis. Against the sum over
axes: 4x to 20x faster on ONNX Runtime CPU. A product of FP32 coordinates must not be rounded to TF32, which is off in
the engines built here. Source: Jaderberg et al., arXiv:1506.02025, eq. 1; ATen/native/AffineGridGenerator.cpp.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.values import known
from .affine_grid_axes import axes_of, positions_of, refuse
from .lowering import LAUNCH, Lowering, length_asked_for


def _cost(node: Any) -> float:
    computed = any(known(node.outputs[0], axis + 1) is None for axis in range(axes_of(node)))
    return (20.0 if computed else 6.0) + LAUNCH * 3


def _build(emit: GraphBuilder, node: Any) -> Value:
    theta, axes = node.inputs[0], axes_of(node)
    lengths = [length_asked_for(emit, node, axis + 1, axis + 2) for axis in range(axes)]
    space = emit.vector(lengths)
    columns = []
    for axis in reversed(range(axes)):  # x, the position along the last axis, comes first
        positions = positions_of(emit, lengths[axis], node.attrs["align_corners"], theta.dtype)
        shaped = emit.unsqueeze(positions, [place for place in range(axes) if place != axis])
        columns.append(emit.op("Expand", shaped, space))
    columns.append(emit.op("Expand", emit.constant(1, theta.dtype, "one"), space))
    base = emit.concat([emit.unsqueeze(column, [axes]) for column in columns], axis=axes)
    points = emit.op("MatMul", emit.reshape(base, [-1, axes + 1]), emit.transpose(theta, [0, 2, 1]))
    return emit.reshape(points, [0, *lengths, axes])


LOWERING = Lowering("affine_grid_matmul", "AffineGrid", refuse, _cost, _build)
