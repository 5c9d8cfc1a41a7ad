"""A convolution that only copies: each output has one weight of 1, so that the outputs are the taps of a window.

    Conv(x, W, no bias),  W[o] is 1 at one channel and tap, 0 elsewhere   ->  Im2Col(x), Reshape    (one or three axes: Pad, Unfold)

Verified from the weights: exactly one 1 in each output's kernel, every tap of every channel once. Taps before channels need a
Transpose, any other order a Gather of channels. Products with exact ones and sums with exact zeros are exact; NaN and
infinity no longer spread to the other taps of their window.
"""

from math import prod
from typing import Any

import numpy as np

from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.shapes import constant, length
from .rule import Match, RaisingRule, domain_op


def find(node: Any) -> Match[np.ndarray] | str | None:
    """``node`` is the Conv. The match has the tap of a channel that each output copies."""
    if node.op != "Conv" or len(node.inputs[1].shape or ()) < 3:
        return None
    x, weight = node.inputs[:2]
    outputs, inner, *kernel = weight.shape
    group, taps = node.attrs.get("group", 1), prod(kernel)
    # Weights are read only if the sizes fit: a backbone has a great many.
    if taps < 2 or outputs != inner * group * taps or (values := constant(weight)) is None:
        return None
    flat = values.reshape(outputs, -1)
    if np.count_nonzero(flat) != outputs or not (flat.max(axis=1) == 1).all():
        return None
    if len(node.inputs) > 2:
        return "it copies taps and adds a bias"
    if node.attrs.get("auto_pad", "NOTSET") != "NOTSET" or x.shape is None:
        return "its padding depends on the size, or its rank is not known"
    first = np.arange(outputs) // (outputs // group) * inner * taps  # of the group's channels
    source = first + flat.argmax(axis=1)
    if len(set(source.tolist())) < outputs:
        return "it copies some taps twice and others not at all"
    ops = ("Im2Col",) if len(kernel) == 2 else ("Unfold",) * len(kernel)
    return Match(node, ops, source)


def build(emit: GraphBuilder, match: Match[np.ndarray]) -> Value:
    """Windows of the input, in the order of the outputs."""
    node, source = match.node, match.data
    _, inner, *kernel = node.inputs[1].shape
    channels = inner * node.attrs.get("group", 1)
    n, taps = len(kernel), prod(kernel)
    dilation = list(node.attrs.get("dilations", [1] * n))
    stride = list(node.attrs.get("strides", [1] * n))
    pads = list(node.attrs.get("pads", [0] * 2 * n))
    x = node.inputs[0]
    if n == 2:
        attributes = {"kernel": kernel, "dilation": dilation, "pads": pads, "stride": stride}
        y = domain_op(emit, "Im2Col", x, attributes)  # (N, C*T, L)
    else:
        padded = emit.pad(x, n + 2, {i + 2: (pads[i], pads[n + i]) for i in range(n)})
        y = _unfolded(emit, padded, kernel, dilation, stride)
    in_order = np.arange(len(source))
    if np.array_equal(source, in_order.reshape(channels, taps).T.reshape(-1)):
        y = emit.transpose(emit.reshape(y, [0, channels, taps, -1]), [0, 2, 1, 3])
    elif not np.array_equal(source, in_order):
        y = emit.op("Gather", emit.reshape(y, [0, channels * taps, -1]), emit.ints(source.tolist()), axis=1)
    return emit.reshape(y, [0, channels * taps, *_space(emit, node, kernel, dilation, stride, pads)])


RULE = RaisingRule("one_hot_conv", find, build)


def _unfolded(emit: GraphBuilder, x: Value, kernel: list[int], dilation: list[int], stride: list[int]) -> Value:
    """(N, C, k1, …, L1, …)"""
    n = len(kernel)
    for i in range(n):
        reach = dilation[i] * (kernel[i] - 1) + 1
        x = domain_op(emit, "Unfold", x, {"axis": i + 2, "size": reach, "step": stride[i]})
        if dilation[i] > 1:
            x = emit.slice(x, [0], [reach], [n + 2 + i], [dilation[i]])
    return emit.transpose(x, [0, 1, *range(n + 2, 2 * n + 2), *range(2, n + 2)])


def _space(
    emit: GraphBuilder, node: Any, kernel: list[int], dilation: list[int], stride: list[int], pads: list[int]
) -> list[Dim]:
    """The sizes of the output; at most one of them is left to be inferred."""
    n, y = len(kernel), node.outputs[0]
    known = [length(y, i + 2) for i in range(n)]
    space: list[Dim] = [-1 if size is None or size.value is None else size.value for size in known]
    if space.count(-1) > 1:
        for i in range(n):
            free = emit.add(emit.dim(node.inputs[0], i + 2), pads[i] + pads[n + i] - dilation[i] * (kernel[i] - 1) - 1)
            space[i] = emit.add(emit.floordiv(free, stride[i]), 1)
    return space
