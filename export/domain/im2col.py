"""Im2Col: the k x k neighbourhood of every position as a column (torch.nn.functional.unfold).

    y[n, (c*kh + i)*kw + j, p*Lw + q] = x_padded[n, c, p*sh + i*dh, q*sw + j*dw]
    Lh = (H + top + bottom - dh*(kh-1) - 1) // sh + 1,  Lw likewise,  x_padded is x with zeros around it

x is (N, C, H, W); y is (N, C*kh*kw, Lh*Lw). ``pads`` is [top, left, bottom, right].
Source: torch.nn.Unfold; ATen/native/Im2Col.cpp (which pads symmetrically only).
"""

from collections.abc import Sequence

import numpy as np
import onnx

from .operator import MOVABLE, Array, Attributes, Context, Dim, attribute, function, input_dims, schema, times
from .window import GEOMETRY, LEADING, count, taps


def _infer(context: Context) -> Sequence[Dim] | None:
    dims = input_dims(context, 0)
    if dims is None:
        return None
    batch, channels, *space = dims
    geometry = [attribute(context, name) for name in GEOMETRY]
    return [batch, times(channels, *geometry[0]), times(*count(space, *geometry))]


SCHEMA = schema(
    "Im2Col",
    __doc__,
    inputs=[("x", "T")],
    output="y",
    types=MOVABLE,
    infer=_infer,
    attributes=Attributes(lists=GEOMETRY),
)


def reference(x: Array, **window: Sequence[int]) -> Array:
    """The formula in NumPy: x (N, C, H, W) -> (N, C*kh*kw, L), any dtype. ``window`` holds the attributes."""
    windows = np.stack(list(taps(x[:, None], **window)), LEADING)  # (N, 1, C, kh*kw, Lh, Lw)
    return windows.reshape(len(x), windows.shape[2] * windows.shape[3], -1)


def body() -> onnx.FunctionProto:
    """Pad, then Gather rows and columns by computed indices; every attribute by reference."""
    return function("""
    Im2Col <kernel, dilation, pads, stride> (x) => (y) {
        kernel = Constant <value_ints: ints = @kernel> ()
        dilation = Constant <value_ints: ints = @dilation> ()
        pads = Constant <value_ints: ints = @pads> ()
        stride = Constant <value_ints: ints = @stride> ()
        zero = Constant <value = int64 {0}> ()
        one = Constant <value = int64 {1}> ()
        first = Constant <value = int64[1] {0}> ()
        second = Constant <value = int64[1] {1}> ()
        space = Constant <value = int64[2] {2, 3}> ()
        padded = Pad (x, pads, , space)
        size = Shape <start: int = 2> (padded)
        below = Sub (kernel, one)
        reach = Mul (dilation, below)
        free = Sub (size, reach)
        last = Sub (free, one)
        steps = Div (last, stride)
        counts = Add (steps, one)
        kh = Gather (kernel, zero)
        kw = Gather (kernel, one)
        dh = Gather (dilation, zero)
        dw = Gather (dilation, one)
        sh = Gather (stride, zero)
        sw = Gather (stride, one)
        lh = Gather (counts, zero)
        lw = Gather (counts, one)
        i = Range (zero, kh, one)
        j = Range (zero, kw, one)
        p = Range (zero, lh, one)
        q = Range (zero, lw, one)
        idh = Mul (i, dh)
        jdw = Mul (j, dw)
        psh = Mul (p, sh)
        qsw = Mul (q, sw)
        idh_column = Unsqueeze (idh, second)
        jdw_column = Unsqueeze (jdw, second)
        row_index = Add (idh_column, psh)
        column_index = Add (jdw_column, qsw)
        rows = Gather <axis: int = 2> (padded, row_index)
        windows = Gather <axis: int = 4> (rows, column_index)
        ordered = Transpose <perm: ints = [0, 1, 2, 4, 3, 5]> (windows)
        batch = Shape <start: int = 0, end: int = 1> (x)
        channels = Shape <start: int = 1, end: int = 2> (x)
        taps = ReduceProd (kernel)
        features = Mul (channels, taps)
        length = ReduceProd (counts)
        shape = Concat <axis: int = 0> (batch, features, length)
        y = Reshape <allowzero: int = 1> (ordered, shape)
    }""")
