"""AffineGrid: the sampling positions of an affine map, for GridSample (torch.nn.functional.affine_grid).

    grid[n, (d,) h, w, :] = theta[n] @ (x_w, y_h, (z_d,) 1)
    x_w = -1 + 2*w/(W-1) when corners are aligned (0 when W is 1), else -1 + (2*w + 1)/W; y and z likewise

theta is (N, 2, 3) and size int64[4] = (N, C, H, W), or theta is (N, 3, 4) and size int64[5] = (N, C, D, H, W).
Source: Jaderberg et al., Spatial Transformer Networks, arXiv:1506.02025, eq. 1; ATen/native/AffineGridGenerator.cpp.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx

from .operator import FLOATS, Array, Attributes, Context, Dim, function, input_dims, known_values, schema


def _infer(context: Context) -> Sequence[Dim] | None:
    theta, size = input_dims(context, 0), input_dims(context, 1)
    axes = theta[1] if theta and isinstance(theta[1], int) else None
    if axes is None and size and isinstance(size[0], int):
        axes = size[0] - 2
    if axes is None:
        return None
    values = known_values(context, 1) or [None] * (axes + 2)
    batch = theta[0] if theta and values[0] is None else values[0]
    return [batch, *values[2:], axes]


SCHEMA = schema(
    "AffineGrid",
    __doc__,
    inputs=[("theta", "T"), ("size", "tensor(int64)")],
    output="grid",
    types=FLOATS,
    infer=_infer,
    attributes=Attributes(ints=["align_corners"]),
)


def axis_positions(size: int, align_corners: int) -> npt.NDArray[np.float64]:
    """The normalised positions of ``size`` samples along one axis, (size,) float64."""
    index = np.arange(size, dtype=np.float64)
    if align_corners:
        return 2 * index / (size - 1) - 1 if size > 1 else np.zeros(size)
    return (2 * index + 1) / size - 1


def reference(theta: Array, size: Array, *, align_corners: int) -> Array:
    """The formula in NumPy: theta (N, a, a+1), size (a+2,) -> (N, ..., a), any float dtype."""
    space = [int(extent) for extent in size[2:]]
    grids = np.meshgrid(*(axis_positions(extent, align_corners) for extent in space), indexing="ij")
    points = np.stack([*reversed(grids), np.ones(space)], axis=-1).astype(theta.dtype)
    grid: Array = np.einsum("nij,...j->n...i", theta, points)
    return grid


def body() -> onnx.FunctionProto:
    """Index of every point by NonZero of ones, so that 2-D and 3-D are one text; positions are computed in FP64."""
    return function("""
    AffineGrid <align_corners> (theta, size) => (grid) {
        align_corners = Constant <value_int: int = @align_corners> ()
        align = Cast <to: int = 9> (align_corners)
        first = Constant <value = int64[1] {0}> ()
        second = Constant <value = int64[1] {1}> ()
        third = Constant <value = int64[1] {2}> ()
        end = Constant <value = int64[1] {9223372036854775807}> ()
        last = Constant <value = int64[1] {-1}> ()
        begin = Constant <value = int64[1] {-9223372036854775807}> ()
        one = Constant <value = double {1.0}> ()
        two = Constant <value = double {2.0}> ()
        batch = Slice (size, first, second)
        space = Slice (size, third, end)
        ones = ConstantOfShape <value = int64[1] {1}> (space)
        index_int = NonZero (ones)
        index = Cast <to: int = 11> (index_int)
        extent_row = Cast <to: int = 11> (space)
        extent = Unsqueeze (extent_row, second)
        twice = Mul (index, two)
        gaps = Sub (extent, one)
        intervals = Max (gaps, one)
        start = Min (gaps, one)
        corner_unit = Div (twice, intervals)
        corners = Sub (corner_unit, start)
        odd = Add (twice, one)
        centre_unit = Div (odd, extent)
        centres = Sub (centre_unit, one)
        rows_first = Where (align, corners, centres)
        columns_first = Slice (rows_first, last, begin, first, last)
        below = Constant <value = int64[4] {0, 0, 1, 0}> ()
        homogeneous = Pad (columns_first, below, one)
        base = CastLike (homogeneous, theta)
        points = MatMul (theta, base)
        points_last = Transpose <perm: ints = [0, 2, 1]> (points)
        axes = Shape <start: int = 1, end: int = 2> (theta)
        shape = Concat <axis: int = 0> (batch, space, axes)
        grid = Reshape <allowzero: int = 1> (points_last, shape)
    }""")
