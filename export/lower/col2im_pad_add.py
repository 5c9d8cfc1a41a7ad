"""Col2Im as a sum of padded pieces, one axis after the other; never a scatter.

    spread[n, c, i, j, p*sh, q*sw] = cols[n, (c, i, j), (p, q)]            zeros between, where the stride is over 1
    wide[n, c, i, ., w] = sum over j of spread[n, c, i, j, ., w - j*dw]    kw Pads and Adds
    full[n, c, h, w]    = sum over i of wide[n, c, i, h - i*dh, w]         kh Pads and Adds
    y = full without the node's padding

The shifts are separable, so kh + kw pieces do the work of kh*kw. The output size may be computed.
"""

from typing import Any

from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.values import rank_refusal
from .lowering import LAUNCH, Lowering, Where, length_asked_for


def output_sizes(emit: GraphBuilder, node: Any) -> list[Dim]:
    """H and W of the output: numbers where they are known, else entries of the second input."""
    return [length_asked_for(emit, node, axis + 2, axis) for axis in (0, 1)]


def _refuse(node: Any, where: Where) -> str | None:
    return rank_refusal(node.inputs[0], 3, "cols")


def _cost(node: Any) -> float:
    (kh, kw), strided = map(int, node.attrs["kernel"]), any(step > 1 for step in node.attrs["stride"])
    # Zeros between values are written for every tap, which is what a stride costs here.
    return float(kh * kw * (20 if strided else 13)) + LAUNCH * (3 * (kh + kw) + 6)


def _spread(emit: GraphBuilder, x: Value, axis: int, stride: int, after: list[Dim]) -> Value:
    """stride - 1 zeros after every value along ``axis``; ``after`` are the lengths of the axes behind it."""
    if stride == 1:
        return x
    rank = axis + 1 + len(after)
    x = emit.pad(emit.unsqueeze(x, [axis + 1]), rank + 1, {axis + 1: (0, stride - 1)})
    return emit.reshape(x, [*[0] * axis, -1, *after])


def _shifted_sum(emit: GraphBuilder, x: Value, taps: int, tap_axis: int, axis: int, dilation: int, rank: int) -> Value:
    """Sum over the taps of one kernel axis, each shifted along ``axis``; the tap axis goes."""
    terms = []
    for tap in range(taps):
        piece = x if taps == 1 else emit.slice(x, [tap], [tap + 1], [tap_axis])
        terms.append(emit.pad(piece, rank, {axis: (tap * dilation, (taps - 1 - tap) * dilation)}))
    return emit.squeeze(emit.sum(terms), [tap_axis])


def _build(emit: GraphBuilder, node: Any) -> Value:
    cols = node.inputs[0]
    top, left, bottom, right = node.attrs["pads"]
    (kh, kw), (dh, dw), (sh, sw) = (node.attrs[key] for key in ("kernel", "dilation", "stride"))
    height, width = output_sizes(emit, node)
    rows = emit.add(emit.floordiv(emit.add(height, top + bottom - dh * (kh - 1) - 1), sh), 1)
    columns = emit.add(emit.floordiv(emit.add(width, left + right - dw * (kw - 1) - 1), sw), 1)
    channels = emit.floordiv(emit.dim(cols, 1), kh * kw)
    wide = emit.add(emit.mul(columns, sw), dw * (kw - 1))
    x = emit.reshape(cols, [0, channels, kh, kw, rows, columns])
    x = _shifted_sum(emit, _spread(emit, x, 5, sw, []), kw, 3, 5, dw, 6)
    x = _shifted_sum(emit, _spread(emit, x, 3, sh, [wide]), kh, 2, 3, dh, 5)
    # Each spread axis ends stride - 1 zeros after its last window, so it reaches the end of the padded image or beyond.
    return emit.slice(x, [top, left], [emit.add(height, top), emit.add(width, left)], [2, 3])


LOWERING = Lowering("col2im_pad_add", "Col2Im", _refuse, _cost, _build)
