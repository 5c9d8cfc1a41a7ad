"""LocalAttention as dense attention of blocks of queries on the keys that they can see.

    S = query_block (nq, D) keys_block^T (D, nk) + relative and bias, masked where a place is outside the window
    y = softmax(S) values_block (nk, Dv)

Differences of one channel (LR-Net) take the place of the first product, elementwise. Two MatMuls instead of K products
with little to do each; what a position does not see has the score -1e9 and takes no part. A relative term that splits
by axis, relative[h, d, t] = sum_i r_i[h, d, t_i] (row and column embeddings), is

    [u_0, u_1] E,   u_i[position, place] = query . r_i[place - position] or -1e9,   E one-hot by row and by column

which also masks; any other one is a MatMul per place in the block with its own constant (D, nk). Block sizes that do
not divide the map are padded and cut. Source: Ramachandran et al., arXiv:1906.05909, eq. 3; blocks as in Vaswani et
al., arXiv:2103.12731, section 2.2, but with exact windows.
"""

from itertools import product
from math import ceil, prod
from typing import Any

import numpy as np

from ..graph.builder import GraphBuilder, Value
from ..graph.values import constant_values, known
from .local_blocks import Array, Block, Blocks, masked
from .local_correlation_shifts import composed, correlation_refusal
from .local_window import CORES, GPU, LEADING, MachineCosts, batch_of, given, lengths, window_of, window_refusal
from .lowering import Lowering, Where

SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 14, 16)
"""Positions along one axis of a block."""


def _refuse(node: Any, where: Where) -> str | None:
    window = window_of(node)
    if window.rank > 2:
        return f"{window.rank} space axes make tensors of more axes than TensorRT takes"
    reason = correlation_refusal(node, where) or window_refusal({"value": node.inputs[2]}, window.rank)
    if reason is not None:
        return reason
    for what, value, axis in (
        ("heads", node.inputs[0], 1),
        ("channels", node.inputs[0], 2),
        ("channels", node.inputs[2], 2),
    ):
        if known(value, axis) is None:
            return f"the number of {what} is not known"
    bias, relative = given(node, 3), given(node, 4)
    if node.attrs.get("compose", "product") != "product":
        if known(node.inputs[0], 2) != 1:
            return "differences of more than one channel would need all of them for each pair of a block"
        if relative is not None:
            return "differences with a relative term are not a product with it"
    if bias is not None:
        values = constant_values(bias)
        if values is None:
            return "the bias is computed, not constant"
        if values.shape[0] * prod(values.shape[LEADING:]) > 1:
            return "the bias differs from position to position"
    if relative is not None and constant_values(relative) is None:
        return "the relative term is computed, not constant"
    return None


def _cost_of(node: Any, shape: tuple[int, ...], machine: MachineCosts) -> float:
    window = window_of(node)
    block = Block(window, shape)
    heads, channels, *counts = lengths(node.inputs[0], 1, 2 + window.rank)
    value_channels = lengths(node.inputs[2], 2, 1)[0]
    grid = prod(ceil(count / size) for count, size in zip(counts, shape, strict=True))
    blocks = batch_of(node.inputs[0]) * heads * grid
    places, scores = blocks * prod(block.keys), blocks * prod(block.keys) * prod(shape)
    passes, queries = 6.5 + 0.1 * (channels + value_channels), 0.0
    if node.attrs.get("compose", "product") != "product":
        passes += 2.0
    relative = constant_values(given(node, 4))
    if relative is not None:
        passes += 5.0 if _by_axis(relative, window.kernel) is not None else 8.0
        queries = 500.0 * blocks * prod(shape)  # many products of little size
    moves = (3.0 * places + 5.0 * blocks * prod(shape)) * (channels + value_channels)
    pieces = sum(ceil(kk / size) for kk, size in zip(block.keys, shape, strict=True)) + block.keys[0]
    # A MatMul of each block has a start of its own on a CPU; a GPU runs them side by side.
    starts = 0.3 * blocks if machine is CORES else 0.0
    work = machine.value * (passes * scores + moves + queries) + starts
    return work / machine.parallel + machine.node * (2 * pieces + 30)


def _shape_of(node: Any) -> tuple[int, ...]:
    """The block that costs least on a CPU; on a GPU the traffic is that of the same scores and places."""
    window = window_of(node)
    counts = lengths(node.inputs[0], LEADING, window.rank)
    choices = product(*([size for size in SIZES if size <= max(count, 4)] for count in counts))
    return min(choices, key=lambda shape: _cost_of(node, shape, CORES))


def _cost(node: Any, machine: MachineCosts = CORES) -> float:
    return _cost_of(node, _shape_of(node), machine)


def _by_axis(relative: Array, kernel: tuple[int, ...]) -> list[Array] | None:
    """relative (H, D, K) as a row term (H, D, kh) and a column term (H, D, kw), where it is exactly their sum."""
    if len(kernel) != 2:
        return None
    full = relative.reshape(*relative.shape[:2], *kernel)
    rows, columns = full[..., :, 0], full[..., 0, :]
    corner = full[..., :1, 0]
    for first, second in ((rows, columns - corner), (rows - corner, columns)):
        if np.array_equal(first[..., :, None] + second[..., None, :], full):
            return [first, second]
    return None


def _build(emit: GraphBuilder, node: Any) -> Value:
    query, key, value = node.inputs[:3]
    block = Block(window_of(node), _shape_of(node))
    blocks = Blocks(emit, block, query)
    channels, value_channels = known(query, 2), known(value, 2)
    compose, scale = node.attrs.get("compose", "product"), float(node.attrs.get("scale", 1.0))
    if scale != 1.0 and compose == "product":
        query = emit.op("Mul", query, emit.constant(scale, query.dtype, "scale"))
    tiled = blocks.queries(query, channels)
    inner = prod(block.shape)
    rows = emit.reshape(tiled, [0, 0, -1, inner, channels])
    columns = emit.transpose(blocks.keys(key, channels), [0, 1, 2, 4, 3])
    if compose == "product":
        scores = emit.op("MatMul", rows, columns)
    else:  # one channel: (nq, 1) against (1, nk)
        scores = composed(emit, rows, columns, compose)
        scores = emit.op("Mul", scores, emit.constant(scale, query.dtype, "scale")) if scale != 1.0 else scores
    for term in _terms(emit, node, block, tiled):
        scores = emit.op("Add", scores, term)
    weights = emit.op("Softmax", scores, axis=-1)
    return blocks.restore(emit.op("MatMul", weights, blocks.keys(value, value_channels)), value_channels)


def _terms(emit: GraphBuilder, node: Any, block: Block, tiled: Value) -> list[Value]:
    """What is added to the scores (N, H, blocks, nq, nk), the mask among it."""
    dtype, taps = tiled.dtype, block.window.taps
    bias, relative = constant_values(given(node, 3)), constant_values(given(node, 4))
    terms = []
    fill = masked(dtype) if relative is None else 0.0
    if bias is not None or relative is None:
        by_tap = (
            np.zeros((1, taps), dtype)
            if bias is None
            else np.broadcast_to(bias.reshape(-1, bias.shape[2]), (bias.shape[1], taps))
        )
        terms.append(emit.constant(block.spread(by_tap.astype(dtype), fill)[None, :, None], dtype, "mask"))
    if relative is not None:
        parts = _by_axis(relative, block.window.kernel)
        terms.append(
            _any_relative(emit, relative, block, tiled) if parts is None else _axis_relative(emit, parts, block, tiled)
        )
    return terms


def _axis_relative(emit: GraphBuilder, parts: list[Array], block: Block, tiled: Value) -> Value:
    """[u_0, u_1] E of a relative term that splits by axis; ``tiled`` is (N, H, gy, gx, by, bx, D)."""
    dtype, columns = tiled.dtype, []
    for axis, part in enumerate(parts):
        by_position = np.moveaxis(block.placed(axis, part, 0.0), -2, 1)[None, :, None, None]  # (1, H, 1, 1, b, D, kk)
        mask = block.placed(axis, np.zeros(block.window.kernel[axis]), masked(dtype))[:, None]
        # A MatMul for each position along this axis, over the positions along the other one.
        swapped = [0, 1, 2, 3, 5, 4, 6] if axis == 1 else None
        term = tiled if swapped is None else emit.transpose(tiled, swapped)
        term = emit.op("MatMul", term, emit.constant(by_position, dtype, "relative"))
        term = emit.op("Add", term, emit.constant(mask, dtype, "mask"))
        columns.append(term if swapped is None else emit.transpose(term, swapped))
    high, wide = block.keys
    rows = emit.reshape(emit.concat(columns, axis=-1), [0, 0, -1, prod(block.shape), high + wide])
    one_hot = [np.kron(np.eye(high), np.ones(wide)), np.kron(np.ones(high), np.eye(wide))]
    return emit.op("MatMul", rows, emit.constant(np.concatenate(one_hot), dtype, "places"))


def _any_relative(emit: GraphBuilder, relative: Array, block: Block, tiled: Value) -> Value:
    """query . relative, each position of a block with its own constant (D, nk), and the mask."""
    inner = prod(block.shape)
    matrix = np.moveaxis(block.spread(relative, 0.0), -2, 1)[None]  # (1, H, nq, D, nk)
    # One product for all blocks at a position, not one for each position of each block.
    rows = emit.transpose(emit.reshape(tiled, [0, 0, -1, inner, relative.shape[1]]), [0, 1, 3, 2, 4])
    term = emit.transpose(emit.op("MatMul", rows, emit.constant(matrix, tiled.dtype, "relative")), [0, 1, 3, 2, 4])
    mask = block.spread(np.zeros(block.window.taps), masked(tiled.dtype))
    return emit.op("Add", term, emit.constant(mask, tiled.dtype, "mask"))


LOWERING = Lowering("local_attention_blocks", "LocalAttention", _refuse, _cost, _build, lambda node: _cost(node, GPU))
