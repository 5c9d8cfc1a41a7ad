"""Col2Im: columns added back into the image they were taken from (torch.nn.functional.fold).

    y[n, c, h, w] = sum over (i, j, p, q) with p*sh + i*dh - top == h and q*sw + j*dw - left == w
                    of cols[n, (c*kh + i)*kw + j, p*Lw + q]

cols is (N, C*kh*kw, Lh*Lw), output_size is int64[2] = (H, W); y is (N, C, H, W). What falls on the padding is dropped.
Source: torch.nn.Fold; ATen/native/Col2Im.cpp (which pads symmetrically only).
"""

from collections.abc import Sequence

import numpy as np
import onnx

from .operator import FLOATS, Array, Attributes, Context, Dim, attribute, function, input_dims, known_values, schema
from .window import GEOMETRY, count, folded


def _infer(context: Context) -> Sequence[Dim] | None:
    dims = input_dims(context, 0)
    if dims is None:
        return None
    kh, kw = attribute(context, "kernel")
    channels = dims[1] // (kh * kw) if isinstance(dims[1], int) else None
    return [dims[0], channels, *(known_values(context, 1) or [None, None])]


SCHEMA = schema(
    "Col2Im",
    __doc__,
    inputs=[("cols", "T"), ("output_size", "tensor(int64)")],
    output="y",
    types=FLOATS,
    infer=_infer,
    attributes=Attributes(lists=GEOMETRY),
)


def reference(cols: Array, output_size: Array, **window: Sequence[int]) -> Array:
    """The formula in NumPy: cols (N, C*kh*kw, L), output_size (2,) -> (N, C, H, W), any float dtype.

    ``window`` holds the attributes.
    """
    space = [int(size) for size in output_size]
    places = int(np.prod(window["kernel"]))
    columns = cols.reshape(len(cols), 1, cols.shape[1] // places, places, *count(space, **window))
    return folded(columns, space, **window)[:, 0]


def body() -> onnx.FunctionProto:
    """The standard operator Col2Im of opset 18, attributes by reference."""
    return function("""
    Col2Im <kernel, dilation, pads, stride> (cols, output_size) => (y) {
        kernel = Constant <value_ints: ints = @kernel> ()
        y = Col2Im <dilations: ints = @dilation, pads: ints = @pads, strides: ints = @stride>
                   (cols, output_size, kernel)
    }""")
