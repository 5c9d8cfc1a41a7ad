"""AdaptiveMax as one Gather of every window and one ReduceMax: any length to any length.

    y[..., p, ...] = max over t < L of x[..., min(a(p) + t, b(p) - 1), ...],   L the longest window

A shorter window reads its last value again, which changes no maximum. The windows together are little longer than the
axis (each shares at most one value with either neighbour), so this Gather, other than one of overlapping k x k windows,
moves about as much as a copy. With a free length the index is computed from it in integers.
"""

from typing import Any

import numpy as np

from ..domain.adaptive_windows import windows
from ..graph.builder import Dim, GraphBuilder, Value
from .adaptive_average_matmul import bounds
from .adaptive_blocks import output_length
from .lowering import LAUNCH, Lowering
from .unfold_slices import axis_refusal


def _index(emit: GraphBuilder, size: Dim, count: Dim) -> Value:
    """(O, L) int64."""
    if isinstance(size, int) and isinstance(count, int):
        starts, ends = windows(size, count)
        places = starts[:, None] + np.arange((ends - starts).max())
        return emit.constant(np.minimum(places, ends[:, None] - 1), np.int64, "windows")
    starts, ends = bounds(emit, size, count)
    zero, one = emit.constant(0, np.int64), emit.constant(1, np.int64)
    longest = emit.op("ReduceMax", emit.op("Sub", ends, starts), keepdims=0)
    places = emit.op("Add", starts, emit.op("Range", zero, longest, one))
    return emit.op("Min", places, emit.op("Sub", ends, one))


def _build(emit: GraphBuilder, node: Any) -> Value:
    x, axis = node.inputs[0], node.attrs["axis"]
    index = _index(emit, emit.dim(x, axis), output_length(emit, node))
    gathered = emit.op("Gather", x, index, axis=axis)  # (..., O, L, ...)
    return emit.op("ReduceMax", gathered, emit.ints([axis + 1]), keepdims=0)


LOWERING = Lowering("adaptive_max_gather", "AdaptiveMax", axis_refusal, lambda node: 8.0 + LAUNCH * 4, _build)
