"""LocalAggregate: the values in the window around each position, summed with weights of their own for every position.

    y[n, h, d, p] = sum over t of weights[n, h, t, p] * value_padded[n, h, d, p*stride + place(t)*dilation]

weights are (N, H, K, *Q) with K = prod(kernel), taps in row-major order; value is (N, H, D, *S); y is (N, H, D, *Q).
n space axes, n = 1, 2 or 3; value_padded has zeros around it. Involution is this with H groups, outlook attention
before its fold with H times K heads. Source: Ramachandran et al., arXiv:1906.05909, eq. 3; Li et al., arXiv:2103.06255.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from .operator import FLOATS, Attributes, function, input_dims, schema, set_output
from .window import GEOMETRY, index_text, positions_of, taps, windows_text

Array = npt.NDArray[Any]


def _infer(context: Any) -> None:
    weights, value = input_dims(context, 0), input_dims(context, 1)
    space = positions_of(context, 0, 1)
    if space is None:
        set_output(context, None)
        return
    front = weights or value or [None, None]
    set_output(context, [*front[:2], value[2] if value is not None else None, *space])


SCHEMA = schema(
    "LocalAggregate",
    __doc__,
    inputs=[("weights", "T"), ("value", "T")],
    output="y",
    types=(*FLOATS, "tensor(bfloat16)"),
    infer=_infer,
    attributes=Attributes(lists=GEOMETRY),
)


def reference(
    weights: Array,
    value: Array,
    *,
    kernel: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[int],
    stride: Sequence[int],
) -> Array:
    """The formula in NumPy, any float dtype. Raises ValueError where the weights are not those of the windows."""
    y: Array | None = None
    places = int(np.prod(kernel))
    if weights.shape[2] != places:
        raise ValueError(f"{weights.shape[2]} weights do not fit {places} places of the window")
    for place, window in enumerate(taps(value, kernel, dilation, pads, stride)):
        if window.shape[3:] != weights.shape[3:]:
            raise ValueError(f"the weights have the positions {weights.shape[3:]}, the windows have {window.shape[3:]}")
        term = weights[:, :, place : place + 1] * window
        y = term if y is None else y + term
    if y is None:
        raise ValueError("the window has no places")
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
