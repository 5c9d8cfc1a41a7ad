"""Col2Im as a transposed convolution with one-hot weights: each tap of a column is put back by its own filter.

    small kernels: cols (N, C*kh*kw, Lh, Lw) -> y,              C groups, weight[(c, i, j), 0, i', j'] = [i = i' and j = j']
    others, by axis: (N*C*kh, kw, Lh, Lw) -> (N*C, kh, Lh, W) -> (N*C, 1, H, W),     weights [j = j'] and [i = i']

By axis it is kw + kh products for each value instead of kh*kw, and no tensor is transposed on the way: the columns lie as
both layers read them. The strides are the layer's own, so no zeros are written between values. Exact: every product is a
value times 0 or 1, so only the order of the additions, which the layer keeps in its accumulator, is the target's choice (in
FP16 the sum is rounded once, by axis twice). A value that is not finite spreads over its window, where the definition would keep
it in its place. The output size may be computed: then the whole overlap-add is made, and cut.
"""

from typing import Any

import numpy as np

from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.values import known, rank_refusal
from .col2im_pad_add import output_sizes
from .lowering import LAUNCH, Lowering, Where

_SMALL = 16  # taps up to which one layer is faster than two, ONNX Runtime CPU


def _reach(node: Any, axis: int) -> int:
    return int(node.attrs["dilation"][axis]) * (int(node.attrs["kernel"][axis]) - 1)


def _dilation(node: Any, axis: int) -> int:
    return int(node.attrs["dilation"][axis]) if int(node.attrs["kernel"][axis]) > 1 else 1


def _by_axis(node: Any) -> bool:
    kh, kw = node.attrs["kernel"]
    both = max(node.attrs["stride"]) > 1 and max(_dilation(node, axis) for axis in (0, 1)) > 1
    return bool(kh * kw > _SMALL or both)


def _refuse(node: Any, where: Where) -> str | None:
    if where.family("tensorrt") and any(_dilation(node, a) > 1 and node.attrs["stride"][a] > 1 for a in (0, 1)):
        return "TensorRT has no transposed convolution that is strided and dilated along one axis"
    refusal = rank_refusal(node.inputs[0], 3, "cols")
    if refusal is None and node.inputs[0].dtype == np.float64 and where.family("ort"):
        return "ONNX Runtime has ConvTranspose in FP32 only"
    return refusal


def _cost(node: Any) -> float:
    kh, kw, sh, sw = (int(size) for key in ("kernel", "stride") for size in node.attrs[key])
    if not _by_axis(node):
        return 4.0 + 0.35 * (kh * kw) ** 2 / (sh * sw) + LAUNCH * 2
    return 10.0 + 0.35 * (kh * kw * kw / sw + kh * kh) / sh + LAUNCH * 5


def _behind(node: Any, axes: tuple[int, ...], sizes: list[Dim], pads: list[int]) -> list[int] | None:
    """Rows and columns behind the last window; None where sizes are computed or the padding is beyond the windows."""
    behind = [0, 0]
    for axis in axes:
        size, reach, stride = sizes[axis], _reach(node, axis), int(node.attrs["stride"][axis])
        if not isinstance(size, int) or max(pads[axis], pads[axis + 2]) > reach:
            return None
        behind[axis] = (size + pads[axis] + pads[axis + 2] - reach - 1) % stride
    return behind


def _layer(
    emit: GraphBuilder, x: Value, weight: Value, node: Any, axes: tuple[int, ...], sizes: list[Dim], group: int
) -> Value:
    """One ConvTranspose that works on ``axes`` and leaves the others as they are; ``sizes`` are H and W behind it."""
    kernel, stride = ([int(node.attrs[key][a]) if a in axes else 1 for a in (0, 1)] for key in ("kernel", "stride"))
    dilation = [_dilation(node, a) if a in axes else 1 for a in (0, 1)]
    pads = [int(pad) if place % 2 in axes else 0 for place, pad in enumerate(node.attrs["pads"])]
    common: dict[str, Any] = {"group": group, "strides": stride, "dilations": dilation, "kernel_shape": kernel}
    behind = _behind(node, axes, sizes, pads)
    if behind is not None:
        return emit.op("ConvTranspose", x, weight, pads=pads, output_padding=behind, **common)
    full = emit.op("ConvTranspose", x, weight, **common)
    # Cut to the size asked for, after the stride - 1 zeros that may lie behind the last window.
    full = emit.pad(full, 4, {a + 2: (0, stride[a] - 1) for a in axes})
    starts, ends = [pads[a] for a in axes], [emit.add(sizes[a], pads[a]) for a in axes]
    return emit.slice(full, starts, ends, [a + 2 for a in axes])


def _build(emit: GraphBuilder, node: Any) -> Value:
    cols, dtype = node.inputs[0], node.inputs[0].dtype
    (kh, kw), (sh, sw) = node.attrs["kernel"], node.attrs["stride"]
    top, left, bottom, right = node.attrs["pads"]
    sizes = output_sizes(emit, node)
    rows = emit.add(emit.floordiv(emit.add(sizes[0], top + bottom - _reach(node, 0) - 1), sh), 1)
    columns = emit.add(emit.floordiv(emit.add(sizes[1], left + right - _reach(node, 1) - 1), sw), 1)
    features = known(cols, 1)
    if not _by_axis(node):
        taps = np.eye(kh * kw).reshape(kh * kw, 1, kh, kw)
        if features is not None:
            image = emit.reshape(cols, [0, features, rows, columns])
            group = features // (kh * kw)
            weight = emit.constant(np.tile(taps, (group, 1, 1, 1)), dtype, "places")
            return _layer(emit, image, weight, node, (0, 1), sizes, group)
        image = emit.reshape(cols, [-1, kh * kw, rows, columns])
        made = _layer(emit, image, emit.constant(taps, dtype, "places"), node, (0, 1), sizes, 1)
    else:
        across = emit.constant(np.eye(kw).reshape(kw, 1, 1, kw), dtype, "places")
        down = emit.constant(np.eye(kh).reshape(kh, 1, kh, 1), dtype, "places")
        lines = emit.reshape(cols, [-1, kw, rows, columns])
        wide = _layer(emit, lines, across, node, (1,), [rows, sizes[1]], 1)
        made = _layer(emit, emit.reshape(wide, [-1, kh, rows, sizes[1]]), down, node, (0,), sizes, 1)
    channels = features // (kh * kw) if features is not None else emit.floordiv(emit.dim(cols, 1), kh * kw)
    return emit.reshape(made, [emit.dim(cols, 0), channels, *sizes])


LOWERING = Lowering("col2im_conv_transpose", "Col2Im", _refuse, _cost, _build)
