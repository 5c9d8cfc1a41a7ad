"""GridSample3d: a volume read at arbitrary positions (torch.nn.functional.grid_sample of a 5-D input).

    y[n, :, o, p, q] = interpolation of x[n] at grid[n, o, p, q] = (x, y, z),  -1 and 1 being the volume's faces

x is (N, C, D, H, W), grid is (N, Do, Ho, Wo, 3) of the same type; y is (N, C, Do, Ho, Wo). mode is bilinear (that is,
trilinear) or nearest; padding_mode and align_corners are those of GridSample. Source: ATen/native/GridSampler.cpp,
grid_sampler_3d.
"""

import onnx

from .operator import Array, function
from .sampling import sample, sampling_schema

SCHEMA = sampling_schema("GridSample3d", __doc__)


def reference(x: Array, grid: Array, *, mode: str, padding_mode: str, align_corners: int) -> Array:
    """The formula in NumPy: x (N, C, D, H, W), grid (N, Do, Ho, Wo, 3) -> (N, C, Do, Ho, Wo), any float dtype."""
    return sample(x, grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners)


def body() -> onnx.FunctionProto:
    """Two standard (planar) GridSamples, since interpolation and padding are separable by axis.

    The first reads all D planes at (x, y); the second reads the resulting (D, 1) column of every point at (0, z). So
    mode, padding and corners stay attributes by reference, at D times the arithmetic: portable, not fast.
    """
    return function("""
    GridSample3d <mode, padding_mode, align_corners> (x, grid) => (y) {
        first = Constant <value = int64[1] {0}> ()
        second = Constant <value = int64[1] {1}> ()
        third = Constant <value = int64[1] {2}> ()
        fourth = Constant <value = int64[1] {3}> ()
        end = Constant <value = int64[1] {9223372036854775807}> ()
        last = Constant <value = int64[1] {-1}> ()
        batch = Shape <start: int = 0, end: int = 1> (x)
        channels = Shape <start: int = 1, end: int = 2> (x)
        depth = Shape <start: int = 2, end: int = 3> (x)
        plane = Shape <start: int = 3, end: int = 5> (x)
        out = Shape <start: int = 1, end: int = 4> (grid)
        points = ReduceProd (out)
        slabs = Mul (channels, depth)
        rows = Mul (batch, points)

        planes_shape = Concat <axis: int = 0> (batch, slabs, plane)
        planes = Reshape (x, planes_shape)
        xy = Slice (grid, first, third, last)
        xy_shape = Concat <axis: int = 0> (batch, points, second, third)
        xy_rows = Reshape (xy, xy_shape)
        sliced = GridSample <mode: string = @mode, padding_mode: string = @padding_mode,
                             align_corners: int = @align_corners> (planes, xy_rows)

        sliced_shape = Concat <axis: int = 0> (batch, channels, depth, points)
        by_channel = Reshape (sliced, sliced_shape)
        by_point = Transpose <perm: ints = [0, 3, 1, 2]> (by_channel)
        column_shape = Concat <axis: int = 0> (rows, channels, depth, second)
        columns = Reshape (by_point, column_shape)
        z = Slice (grid, third, fourth, last)
        zero = Sub (z, z)
        zero_z = Concat <axis: int = -1> (zero, z)
        z_shape = Concat <axis: int = 0> (rows, second, second, third)
        z_rows = Reshape (zero_z, z_shape)
        values = GridSample <mode: string = @mode, padding_mode: string = @padding_mode,
                             align_corners: int = @align_corners> (columns, z_rows)

        point_shape = Concat <axis: int = 0> (batch, points, channels)
        by_point_value = Reshape (values, point_shape)
        by_channel_value = Transpose <perm: ints = [0, 2, 1]> (by_point_value)
        shape = Concat <axis: int = 0> (batch, channels, out)
        y = Reshape (by_channel_value, shape)
    }""")
