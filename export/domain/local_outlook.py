"""LocalOutlook: every position predicts a mixture of its window for each place of the window, and the windows are folded back.

    mixed[n, h, d, o, p] = sum over t of weights[n, h, o, t, p] * value_padded[n, h, d, p*stride + place(t)*dilation]
    y_padded[n, h, d, x] = sum over (o, p) with p*stride + place(o)*dilation == x of mixed[n, h, d, o, p]

weights are (N, H, K, K, *P) with K = prod(kernel): the places that are written, then those that are read, both row-major;
P are the positions of the window over the space S. value and y are (N, H, D, *S); what falls on the padding is dropped.
n space axes, n = 1, 2 or 3. Source: Yuan et al., arXiv:2106.13112 (VOLO, outlook attention), eq. 2 to 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from .operator import FLOATS, Attributes, function, input_dims, schema, set_output
from .window import GEOMETRY, LEADING, index_text, taps, windows_text

Array = npt.NDArray[Any]


def _infer(context: Any) -> None:
    weights, value = input_dims(context, 0), input_dims(context, 1)
    if value is None:
        set_output(context, None)
        return
    front = weights[:2] if weights is not None else [None, None]
    known = [
        mine if isinstance(mine, int) or theirs is None else theirs
        for mine, theirs in zip(value[:2], front, strict=True)
    ]
    set_output(context, [*known, *value[2:]])


SCHEMA = schema(
    "LocalOutlook",
    __doc__,
    inputs=[("weights", "T"), ("value", "T")],
    output="y",
    types=FLOATS,
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
    """The definition in NumPy, any float dtype: unfold, weigh, fold. Raises ValueError where the weights are not those of the windows."""
    places, n = int(np.prod(kernel)), len(kernel)
    if weights.shape[2:4] != (places, places):
        raise ValueError(f"{weights.shape[2:4]} weights do not fit {places} places of the window")
    windows = np.stack(list(taps(value, kernel, dilation, pads, stride)), LEADING)
    if windows.shape[4:] != weights.shape[4:]:
        raise ValueError(f"the weights have the positions {weights.shape[4:]}, the windows have {windows.shape[4:]}")
    mixed = np.einsum("nhot...,nhdt...->nhdo...", weights, windows)
    padded = [size + pads[axis] + pads[axis + n] for axis, size in enumerate(value.shape[LEADING:])]
    y = np.zeros((*value.shape[:LEADING], *padded), mixed.dtype)
    for at, place in enumerate(np.ndindex(*kernel)):
        written = [
            slice(tap * hole, tap * hole + (count - 1) * step + 1, step)
            for tap, hole, count, step in zip(place, dilation, mixed.shape[4:], stride, strict=True)
        ]
        y[(slice(None),) * LEADING + tuple(written)] += mixed[:, :, :, at]
    inner = [slice(pads[axis], pads[axis] + size) for axis, size in enumerate(value.shape[LEADING:])]
    folded: Array = y[(slice(None),) * LEADING + tuple(inner)]
    return folded


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
