"""Im2Col as shifted views: Pad, one strided Slice for each kernel tap, Concat.

    y[n, (c, i, j), (p, q)] = x_padded[n, c, i*dh + p*sh, j*dw + q*sw]

Tap (i, j) is the Slice that starts at (i*dh, j*dw), steps by the stride and ends where the last tap's window still
fits, counted from the end of the axis: so H and W may be dynamic, and no Shape is computed. No index tensor, no
Gather. Source: the shift form of stand-alone self-attention, Ramachandran et al., arXiv:1906.05909, section 3.1.
"""

from math import prod
from typing import Any

from ..graph.builder import TO_END, Dim, GraphBuilder, Value
from ..graph.values import known, rank_refusal
from .lowering import LAUNCH, Lowering, Where


def padded(emit: GraphBuilder, node: Any) -> Value:
    """x with the node's zeros around it."""
    top, left, bottom, right = node.attrs["pads"]
    return emit.pad(node.inputs[0], 4, {2: (top, bottom), 3: (left, right)})


def columns_shape(emit: GraphBuilder, node: Any) -> list[Dim]:
    """The output's shape, for a Reshape of something that starts with the axes N, C."""
    x, y = node.inputs[0], node.outputs[0]
    kh, kw = node.attrs["kernel"]
    features = emit.mul(emit.dim(x, 1), kh * kw)
    length = known(y, 2)
    return [0, features, -1 if length is None else length]


def tap_bounds(index: int, kernel: int, dilation: int) -> tuple[int, int]:
    """Start and end of the Slice of one tap along one axis."""
    after = dilation * (kernel - 1 - index)
    return index * dilation, -after if after else TO_END


def image_refusal(node: Any, where: Where) -> str | None:
    """The reason to refuse an image whose rank is not known or is not 4."""
    return rank_refusal(node.inputs[0], 4, "x")


def _cost(node: Any) -> float:
    taps = prod(int(size) for size in node.attrs["kernel"])
    return 2.0 + LAUNCH * (taps + 3)


def _build(emit: GraphBuilder, node: Any) -> Value:
    (kh, kw), (dh, dw), stride = node.attrs["kernel"], node.attrs["dilation"], list(node.attrs["stride"])
    x = emit.unsqueeze(padded(emit, node), [2])  # (N, C, 1, H, W): the taps are joined along axis 2
    taps = []
    for i in range(kh):
        for j in range(kw):
            (top, bottom), (left, right) = tap_bounds(i, kh, dh), tap_bounds(j, kw, dw)
            taps.append(emit.slice(x, [top, left], [bottom, right], [3, 4], stride))
    windows = emit.concat(taps, axis=2)  # (N, C, kh*kw, Lh, Lw)
    return emit.reshape(windows, columns_shape(emit, node))


LOWERING = Lowering("im2col_slices", "Im2Col", image_refusal, _cost, _build)
