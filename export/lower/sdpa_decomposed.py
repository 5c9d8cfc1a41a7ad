"""Sdpa by MatMul, Softmax and MatMul.

    y = Softmax(q' k'^T + mask) v,   q' = sqrt(scale) q,  k' = sqrt(scale) k

The scale is split as in PyTorch, so that FP16 products stay in range; all masks become one bias, as in PyTorch too.
TensorRT-RTX 1.7.1 fuses this form, in FP16 and with any mask, into the kernel that it has for the operator Attention.
Rows without any key are zeros (see sdpa.py), selected behind the second product, where a row is short. Grouped heads
share keys by a reshape, since g heads of L queries are one of g*L: nothing is repeated.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from .lowering import LAUNCH, Lowering, Where
from .sdpa import SdpaInputs, bias, empty_rows, scaled, zeroed


def _refuse(node: Any, where: Where) -> str | None:
    parts = SdpaInputs.of(node)
    if parts.groups > 1 and parts.query.shape is not None and len(parts.query.shape) < 3:
        return f"{parts.groups} groups need a head axis, and the query has {len(parts.query.shape)} axes"
    return parts.refusal()


def _build(emit: GraphBuilder, node: Any) -> Value:
    parts = SdpaInputs.of(node)
    query, key = scaled(emit, parts)
    rank, key_rank = len(parts.query.shape), len(parts.key.shape)
    rows, columns = emit.dim(parts.query, rank - 2), emit.dim(parts.key, key_rank - 2)
    if parts.groups > 1:
        heads = emit.dim(parts.key, key_rank - 3)
        query = emit.reshape(query, [*[0] * (rank - 3), heads, -1, emit.dim(parts.query, rank - 1)])
    flipped = emit.transpose(key, [*range(key_rank - 2), key_rank - 1, key_rank - 2])
    scores = emit.op("MatMul", query, flipped, part="scores")
    front = [0] * (max(rank, key_rank) - 3)
    if parts.groups > 1:
        scores = emit.reshape(scores, [*front, -1, rows, columns])
    total = bias(emit, parts, rows, columns)
    if total is not None:
        scores = emit.op("Add", scores, total, part="biased")
    empty = empty_rows(emit, parts, total)
    weights = emit.op("Softmax", scores, part="weights", axis=-1)
    if parts.groups > 1:
        weights = emit.reshape(weights, [*front, heads, -1, columns])
    y = emit.op("MatMul", weights, parts.value, part="aggregate")
    if parts.groups > 1:
        y = emit.reshape(y, [*front, -1, rows, emit.dim(parts.value, len(parts.value.shape) - 1)])
    return zeroed(emit, y, empty)


LOWERING = Lowering("sdpa_decomposed", "Sdpa", _refuse, lambda node: 6.0 + LAUNCH * 7, _build)
