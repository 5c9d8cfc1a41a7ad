"""What the forms of Sdpa share: its inputs by name, and which rows a mask may leave without any key.

PyTorch's softmax gives zeros for a row whose scores are all -inf, where the operator Softmax gives NaN. Only a mask
that is computed, or a constant one with such a row, can bring that about: causal order alone keeps the first key.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.values import constant_values


@dataclass(frozen=True)
class SdpaInputs:
    """The node's inputs and attributes. ``mask`` (floats, added) and ``keep`` (bool) are None where absent."""

    query: Value
    key: Value
    value: Value
    mask: Value | None
    keep: Value | None
    causal: bool
    groups: int
    scale: float

    @classmethod
    def of(cls, node: Any) -> "SdpaInputs":
        """Read an Sdpa node."""
        given = [value if value.name else None for value in node.inputs] + [None, None]
        query, key, value, mask, keep = given[:5]
        attrs = node.attrs
        return cls(query, key, value, mask, keep, bool(attrs["causal"]), attrs["groups"], attrs.get("scale", 1.0))

    def refusal(self) -> str | None:
        """Both forms write axes by their place, so the ranks must be known."""
        unknown = [name for name in ("query", "key", "value") if getattr(self, name).shape is None]
        return f"the rank of {', '.join(unknown)} is not known" if unknown else None


def scaled(emit: GraphBuilder, parts: SdpaInputs) -> tuple[Value, Value]:
    """Query and key, each times the root of the scale, as PyTorch does, so that no product of FP16 sums overflows early."""
    root = abs(parts.scale) ** 0.5
    query, key = parts.query, parts.key
    if parts.scale != 1.0:
        signed = emit.constant(np.copysign(root, parts.scale), query.dtype, "query_scale")
        query = emit.op("Mul", query, signed, part="scaled_query")
        key = emit.op("Mul", key, emit.constant(root, key.dtype, "key_scale"), part="scaled_key")
    return query, key


def bias(emit: GraphBuilder, parts: SdpaInputs, rows: Dim, columns: Dim) -> Value | None:
    """All masks as one tensor to add to the scores: floats where they are given, -inf where a key does not take part.

    It is made in the masks' own shape, which is seldom that of the scores. None without a mask.
    """
    total = parts.mask
    conditions = [] if parts.keep is None else [parts.keep]
    if parts.causal:
        conditions.append(_lower(emit, rows, columns))
    for condition in conditions:
        shown = emit.constant(0, parts.query.dtype, "zero") if total is None else total
        hidden = emit.constant(-np.inf, parts.query.dtype, "minus_infinity")
        total = emit.op("Where", condition, shown, hidden, part="bias", dtype=parts.query.dtype)
    return total


def _lower(emit: GraphBuilder, rows: Dim, columns: Dim) -> Value:
    """Causal order, counted from the upper left: (rows, columns) of bool, true where column <= row."""
    row_numbers = emit.unsqueeze(emit.count(rows, "rows"), [1])
    return emit.op("LessOrEqual", emit.count(columns, "columns"), row_numbers, part="lower", dtype=np.bool_)


def empty_rows(emit: GraphBuilder, parts: SdpaInputs, total: Value | None) -> Value | None:
    """(…, L or 1, 1) of bool, true where the bias ``total`` hides every key; None where it cannot."""
    masks = [mask for mask in (parts.mask, parts.keep) if mask is not None]
    if not masks:
        return None
    numbers = constant_values(masks[0]) if len(masks) == 1 and not parts.causal else None
    if numbers is not None:
        hidden = ~numbers if parts.keep is not None else numbers == -np.inf
        if not hidden.all(-1).any():
            return None
    assert total is not None
    top = emit.op("ReduceMax", total, emit.ints([-1]), part="top", keepdims=1)
    lowest = emit.constant(-np.inf, total.dtype, "minus_infinity")
    return emit.op("Equal", top, lowest, part="empty", dtype=np.bool_)


def zeroed(emit: GraphBuilder, y: Value, empty: Value | None) -> Value:
    """y with zeros in the empty rows; y itself where there are none."""
    if empty is None:
        return y
    return emit.op("Where", empty, emit.constant(0, y.dtype, "zero"), y, part="output", dtype=y.dtype)
