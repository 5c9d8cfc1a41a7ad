"""Col2Im: columns added back into the image they were taken from (torch.nn.functional.fold).

    y[n, c, h, w] = sum over (i, j, p, q) with p*sh + i*dh - top == h and q*sw + j*dw - left == w
                    of cols[n, (c*kh + i)*kw + j, p*Lw + q]

cols is (N, C*kh*kw, Lh*Lw), output_size is int64[2] = (H, W); y is (N, C, H, W). What falls on the padding is dropped.
Source: torch.nn.Fold; ATen/native/Col2Im.cpp (which pads symmetrically only).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from .operator import FLOATS, Attributes, attribute, function, input_dims, known_values, schema, set_output

Array = npt.NDArray[Any]


def _infer(context: Any) -> None:
    dims = input_dims(context, 0)
    if dims is None:
        set_output(context, None)
        return
    kh, kw = attribute(context, "kernel")
    channels = dims[1] // (kh * kw) if isinstance(dims[1], int) else None
    set_output(context, [dims[0], channels, *(known_values(context, 1) or [None, None])])


SCHEMA = schema(
    "Col2Im",
    __doc__,
    inputs=[("cols", "T"), ("output_size", "tensor(int64)")],
    output="y",
    types=FLOATS,
    infer=_infer,
    attributes=Attributes(lists=["kernel", "dilation", "pads", "stride"]),
)


def reference(
    cols: Array,
    output_size: Array,
    *,
    kernel: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[int],
    stride: Sequence[int],
) -> Array:
    """The formula in NumPy: cols (N, C*kh*kw, L), output_size (2,) -> (N, C, H, W), any float dtype."""
    top, left, bottom, right = pads
    (kh, kw), (dh, dw), (sh, sw) = kernel, dilation, stride
    height, width = (int(size) for size in output_size)
    rows = (height + top + bottom - dh * (kh - 1) - 1) // sh + 1
    columns = (width + left + right - dw * (kw - 1) - 1) // sw + 1
    batch, features, _ = cols.shape
    windows = cols.reshape(batch, features // (kh * kw), kh, kw, rows, columns)
    image = np.zeros((batch, windows.shape[1], height + top + bottom, width + left + right), cols.dtype)
    for i, j, p, q in np.ndindex(kh, kw, rows, columns):
        image[:, :, p * sh + i * dh, q * sw + j * dw] += windows[:, :, i, j, p, q]
    return image[:, :, top : top + height, left : left + width]


def body() -> onnx.FunctionProto:
    """The standard operator Col2Im of opset 18, attributes by reference."""
    return function("""
    Col2Im <kernel, dilation, pads, stride> (cols, output_size) => (y) {
        kernel = Constant <value_ints: ints = @kernel> ()
        y = Col2Im <dilations: ints = @dilation, pads: ints = @pads, strides: ints = @stride>
                   (cols, output_size, kernel)
    }""")
