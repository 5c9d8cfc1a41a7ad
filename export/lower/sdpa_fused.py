"""Sdpa by the standard operator Attention, for models of opset 23 and later.

    y = Attention(sqrt(scale) q, sqrt(scale) k, v, bias; scale=1)

The scale is put on the inputs, since TensorRT takes no other than the default or 1; the operator's own causal order is
counted from the upper left, as here. What the operator leaves open, a row without any key, is made zeros behind it. It
is refused wherever the operator matrix does not say that the target runs it: nothing is gained where it was measured
(ONNX Runtime's CPU kernel is as fast as the decomposed form, TensorRT-RTX makes one kernel of either), so no model's
opset is raised for its sake.
"""

from typing import Any

from ..graph.builder import GraphBuilder, Value
from ..graph.values import known
from ..targets import refusal
from .lowering import LAUNCH, Lowering, Where
from .sdpa import SdpaInputs, bias, empty_rows, scaled, zeroed

_OPSET = 23
_RANK = 4
_MOST_KEYS = 65504  # an online FP16 normaliser counts up to the keys


def _refuse(node: Any, where: Where) -> str | None:
    if where.opset < _OPSET:
        return f"the model is of opset {where.opset}, and Attention came with {_OPSET}"
    parts = SdpaInputs.of(node)
    return parts.refusal() or _shapes(parts) or _masks(parts) or _targets(parts, where)


def _shapes(parts: SdpaInputs) -> str | None:
    for name in ("query", "key", "value"):
        shape = getattr(parts, name).shape
        if len(shape) != _RANK:
            return f"{name} has {len(shape)} axes, and Attention is written with {_RANK}"
    query, key, value = parts.query.shape, parts.key.shape, parts.value.shape
    if not query[0] == key[0] == value[0]:
        return "the batch axes are not known to be the same"
    heads = [known(x, 1) for x in (parts.query, parts.key, parts.value)]
    if heads[0] is None or heads[1] is None or heads[1] != heads[2] or heads[0] != heads[1] * parts.groups:
        return "the numbers of heads are not known to fit together"
    if known(parts.query, 3) is None or query[3] != value[3]:
        return f"query and value have {query[3]} and {value[3]} channels, not one known number"
    keys = known(parts.key, 2)
    if keys is not None and keys > _MOST_KEYS:
        return f"{keys} keys: the FP16 kernels' running sum ends at {_MOST_KEYS}"
    return None


def _masks(parts: SdpaInputs) -> str | None:
    """ONNX Runtime repeats a mask over batch and heads, not over rows or keys."""
    masks = [mask for mask in (parts.mask, parts.keep) if mask is not None]
    if masks and parts.causal:
        return "a mask and causal order together are not measured"
    scores = [parts.query.shape[2], parts.key.shape[2]]
    for mask in masks:
        if mask.shape is None or list(mask.shape[-2:]) != scores:
            return f"a mask of {mask.shape} is not known to reach every one of {scores} scores"
    return None


def _targets(parts: SdpaInputs, where: Where) -> str | None:
    masked = parts.mask is not None or parts.keep is not None
    return refusal(
        where.targets,
        "Attention",
        opset=where.opset,
        proven=True,
        dtype=str(parts.query.dtype),
        rank=_RANK,
        head_size=parts.query.shape[3],
        mask="float" if masked else "none",
        causal=int(parts.causal),
        groups=2 if parts.groups > 1 else 1,
        scale_attribute=1,
    )


def _build(emit: GraphBuilder, node: Any) -> Value:
    parts = SdpaInputs.of(node)
    query, key = scaled(emit, parts)
    given = [query, key, parts.value]
    total = None
    if parts.mask is not None or parts.keep is not None:
        total = bias(emit, parts, parts.query.shape[2], parts.key.shape[2])
        given.append(total)
    empty = empty_rows(emit, parts, total)
    y = emit.op("Attention", *given, is_causal=int(parts.causal), scale=1.0)
    return zeroed(emit, y, empty)


LOWERING = Lowering("sdpa_fused", "Sdpa", _refuse, lambda node: 5.0 + LAUNCH * 3, _build)
