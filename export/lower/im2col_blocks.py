"""Im2Col of windows that tile the image (stride = kernel, no dilation), as in patch embedding.

Reshape and Transpose only:

    y[n, (c, i, j), (p, q)] = x_padded[n, c, p*kh + i, q*kw + j]
    (N, C, Lh*kh, Lw*kw) -> (N, C, Lh, kh, Lw, kw) -> (N, C, kh, kw, Lh, Lw) -> (N, C*kh*kw, Lh*Lw)

Rows and columns that no window reaches are cut off first.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from .im2col_slices import columns_shape, image_refusal, padded
from .lowering import LAUNCH, Lowering, Where


def _refuse(node: Any, where: Where) -> str | None:
    kernel, stride, dilation = (list(node.attrs[key]) for key in ("kernel", "stride", "dilation"))
    if kernel != stride:
        return f"windows of {kernel} with stride {stride} do not tile the image"
    if any(step != 1 for step, size in zip(dilation, kernel, strict=True) if size > 1):
        return f"dilation {dilation} leaves holes in the windows"
    return image_refusal(node, where)


def _build(emit: GraphBuilder, node: Any) -> Value:
    kernel, pads, x = node.attrs["kernel"], node.attrs["pads"], node.inputs[0]
    counts = []
    for axis, size in enumerate(kernel):
        length = emit.add(emit.dim(x, axis + 2), pads[axis] + pads[axis + 2])
        counts.append(emit.floordiv(length, size))
    covered = [emit.mul(count, size) for count, size in zip(counts, kernel, strict=True)]
    tiled = emit.slice(padded(emit, node), [0, 0], covered, [2, 3])
    blocks = emit.reshape(tiled, [0, 0, counts[0], kernel[0], counts[1], kernel[1]])
    windows = emit.transpose(blocks, [0, 1, 3, 5, 2, 4])
    return emit.reshape(windows, columns_shape(emit, node))


LOWERING = Lowering("im2col_blocks", "Im2Col", _refuse, lambda node: 1.5 + LAUNCH * 5, _build)
