"""GridSample: an image read at arbitrary positions (torch.nn.functional.grid_sample of a 4-D input).

    y[n, :, p, q] = interpolation of x[n] at grid[n, p, q] = (x, y),  -1 and 1 being the image's edges

x is (N, C, H, W), grid is (N, Ho, Wo, 2) of the same type; y is (N, C, Ho, Wo). mode is bilinear, nearest (half to
even) or bicubic (a = -0.75); padding_mode is zeros, border or reflection; align_corners says whether -1 and 1 are the
centres (1) or the outer borders (0) of the corner pixels. Source: ATen/native/GridSampler.cpp; ONNX GridSample-16.
"""

import onnx

from .operator import Array, function
from .sampling import sample, sampling_schema

SCHEMA = sampling_schema("GridSample", __doc__)


def reference(x: Array, grid: Array, *, mode: str, padding_mode: str, align_corners: int) -> Array:
    """The formula in NumPy: x (N, C, H, W), grid (N, Ho, Wo, 2) -> (N, C, Ho, Wo), any float dtype."""
    return sample(x, grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners)


def body() -> onnx.FunctionProto:
    """The standard operator in its opset-16 spelling, attributes by reference."""
    return function("""
    GridSample <mode, padding_mode, align_corners> (x, grid) => (y) {
        y = GridSample <mode: string = @mode, padding_mode: string = @padding_mode,
                        align_corners: int = @align_corners> (x, grid)
    }""")
