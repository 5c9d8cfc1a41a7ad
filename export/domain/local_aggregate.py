"""LocalAggregate: the values in the window around each position, summed with weights of their own for every position.

    y[n, h, d, p] = sum over t of weights[n, h, t, p] * value_padded[n, h, d, p*stride + place(t)*dilation]

weights are (N, H, K, *Q) with K = prod(kernel), taps in row-major order; value is (N, H, D, *S); y is (N, H, D, *Q).
n space axes, n = 1, 2 or 3; value_padded has zeros around it. Involution is this with H groups, outlook attention
before its fold with H times K heads. Source: Ramachandran et al., arXiv:1906.05909, eq. 3; Li et al., arXiv:2103.06255.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from .operator import FLOATS, Array, Attributes, Context, Dim, function, input_dims, schema
from .window import GEOMETRY, index_text, positions_of, weighed_windows, windows_text


def _infer(context: Context) -> Sequence[Dim] | None:
    weights, value = input_dims(context, 0), input_dims(context, 1)
    space = positions_of(context, 0, 1)
    if space is None:
        return None
    front = weights or value or [None, None]
    return [*front[:2], value[2] if value is not None else None, *space]


SCHEMA = schema(
    "LocalAggregate",
    __doc__,
    inputs=[("weights", "T"), ("value", "T")],
    output="y",
    types=(*FLOATS, "tensor(bfloat16)"),
    infer=_infer,
    attributes=Attributes(lists=GEOMETRY),
)


def reference(weights: Array, value: Array, **window: Sequence[int]) -> Array:
    """The formula in NumPy, any float dtype. ``window`` holds the attributes.

    Raises ValueError if the weights are not those of the windows.
    """
    windows = weighed_windows(weights, weights.shape[2], value, window)
    y: Array = np.einsum("nht...,nhdt...->nhd...", weights, windows)
    return y


def weighted_text(flat_weights: str) -> str:
    """Body text after ``index_text``: ``y`` from weights (N, H, K, places) and ``value``."""
    return f"""
        {windows_text("value")}
        channel_axis_of_y = Constant <value = int64[1] {{2}}> ()
        window_axis_of_y = Constant <value = int64[1] {{3}}> ()
        weights_row = Unsqueeze ({flat_weights}, channel_axis_of_y)
        weighted = Mul (value_windows, weights_row)
        flat_y = ReduceSum <keepdims: int = 0> (weighted, window_axis_of_y)
        value_head = Shape <start: int = 0, end: int = 3> (value)
        y_shape = Concat <axis: int = 0> (value_head, counts)
        y = Reshape <allowzero: int = 1> (flat_y, y_shape)
    """


def body() -> onnx.FunctionProto:
    """All windows by one Gather of computed indices; one text for any number of space axes."""
    return function(f"""
    LocalAggregate <kernel, dilation, pads, stride> (weights, value) => (y) {{
        {index_text("value")}
        weights_front = Shape <start: int = 0, end: int = 3> (weights)
        flat_shape = Concat <axis: int = 0> (weights_front, places)
        flat_weights = Reshape <allowzero: int = 1> (weights, flat_shape)
        {weighted_text("flat_weights")}
    }}""")
