"""LocalOutlook: every position predicts a mixture of its window for each place of the window, and the windows are folded back.

    mixed[n, h, d, o, p] = sum over t of weights[n, h, o, t, p] * value_padded[n, h, d, p*stride + place(t)*dilation]
    y_padded[n, h, d, x] = sum over (o, p) with p*stride + place(o)*dilation == x of mixed[n, h, d, o, p]

weights are (N, H, K, K, *P) with K = prod(kernel): the places that are written, then those that are read, both row-major;
P are the positions of the window over the space S. value and y are (N, H, D, *S); what falls on the padding is dropped.
n space axes, n = 1, 2 or 3. Source: Yuan et al., arXiv:2106.13112 (VOLO, outlook attention), eq. 2 to 4.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from .operator import FLOATS, Array, Attributes, Context, Dim, function, input_dims, schema
from .window import GEOMETRY, LEADING, better_known, folded, index_text, weighed_windows, windows_text


def _infer(context: Context) -> Sequence[Dim] | None:
    weights, value = input_dims(context, 0), input_dims(context, 1)
    if value is None:
        return None
    return [*(better_known(value[:2], weights[:2]) if weights is not None else value[:2]), *value[2:]]


SCHEMA = schema(
    "LocalOutlook",
    __doc__,
    inputs=[("weights", "T"), ("value", "T")],
    output="y",
    types=FLOATS,
    infer=_infer,
    attributes=Attributes(lists=GEOMETRY),
)


def reference(weights: Array, value: Array, **window: Sequence[int]) -> Array:
    """The definition in NumPy, any float dtype: unfold, weigh, fold. ``window`` holds the attributes.

    Raises ValueError if the weights are not those of the windows.
    """
    windows = weighed_windows(weights, weights.shape[2:4], value, window)
    mixed = np.einsum("nhot...,nhdt...->nhdo...", weights, windows)
    return folded(mixed, value.shape[LEADING:], **window)


def body() -> onnx.FunctionProto:
    """All windows by one Gather of computed indices, and added back by the same indices; one text for any number of space axes."""
    return function(f"""
    LocalOutlook <kernel, dilation, pads, stride> (weights, value) => (y) {{
        {index_text("value")}
        {windows_text("value")}
        minus_one = Constant <value = int64[1] {{-1}}> ()
        weights_front = Shape <start: int = 0, end: int = 4> (weights)
        flat_shape = Concat <axis: int = 0> (weights_front, places)
        flat_weights = Reshape <allowzero: int = 1> (weights, flat_shape)
        mixed = Einsum <equation: string = "nhotp,nhdtp->nhdop"> (flat_weights, value_windows)
        columns_shape = Concat <axis: int = 0> (value_front, minus_one)
        columns = Reshape <allowzero: int = 1> (mixed, columns_shape)
        index_row = Reshape (index, minus_one)
        columns_size = Shape (columns)
        columns_index = Expand (index_row, columns_size)
        none = ConstantOfShape <value = float[1] {{0}}> (value_flat_shape)
        nothing = CastLike (none, value)
        folded_flat = ScatterElements <axis: int = 3, reduction: string = "add"> (nothing, columns_index, columns)
        padded_shape = Concat <axis: int = 0> (value_front, size)
        folded = Reshape <allowzero: int = 1> (folded_flat, padded_shape)
        before = Slice (pads, first, n_row, first)
        behind = Add (before, space)
        y = Slice (folded, before, behind, space_axes)
    }}""")
