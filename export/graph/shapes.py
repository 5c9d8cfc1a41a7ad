"""What is known of a tensor's axes and of the integers that Shape, Gather, Mul … compute from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from .size import Size, parse, product

_SAME = {"Squeeze", "Unsqueeze", "Cast", "Identity", "Flatten"}
"""Operators that hand integers on as they are, in the same order."""
_DEEP = 40
"""Longest chain of integer arithmetic that is followed."""


def constant(tensor: Any) -> np.ndarray | None:
    """The values of a constant tensor, None where it is computed."""
    return np.asarray(tensor.values) if isinstance(tensor, gs.Constant) else None


def scalar(tensor: Any) -> float | None:
    """The number in a constant tensor of one value and at most one axis."""
    if not isinstance(tensor, gs.Constant) or len(tensor.shape) > 1:
        return None
    values = np.asarray(tensor.values)
    return float(values.reshape(-1)[0]) if values.size == 1 and values.dtype.kind in "fiu" else None


def producer(tensor: Any) -> Any:
    """The node that makes a tensor; None for graph inputs and constants."""
    return tensor.inputs[0] if not isinstance(tensor, gs.Constant) and tensor.inputs else None


def sizes_of(tensor: Any) -> tuple[Size, ...] | None:
    """The length of every axis; an axis that nothing is known of is a free size of its own. None without a rank."""
    if tensor.shape is None:
        return None
    computed = _target(tensor) if any(not _told(size) for size in tensor.shape) else None
    if computed is not None and len(computed) == len(tensor.shape):
        pairs = zip(tensor.shape, computed, strict=True)
        return tuple(_size(tensor, axis, told if _told(told) else None) if size is None or _told(told) else size
                     for axis, (told, size) in enumerate(pairs))  # fmt: skip
    return tuple(_size(tensor, axis, size) for axis, size in enumerate(tensor.shape))


def _told(size: int | str | None) -> bool:
    """Whether a dimension is a number, or a name that says something: shape inference makes up ``unk__7``."""
    return isinstance(size, int) or (bool(size) and not str(size).startswith("unk__"))


def _size(tensor: Any, axis: int, size: int | str | None) -> Size:
    if isinstance(size, int) and size >= 0:
        return Size.number(size)
    return parse(size) if isinstance(size, str) and size else Size.symbol(f"{tensor.name}[{axis}]")


def _target(tensor: Any) -> list[Size | None] | None:
    node = producer(tensor)
    if node is None or node.op != "Reshape":
        return None
    return reshape_target(node)


def reshape_target(node: Any, known: Sequence[Size] | None = None) -> list[Size | None] | None:
    """What the shape input of a Reshape asks for, with zeros filled in; an entry is None where it is -1 or not known.

    ``known``: the sizes of its data, where they are better known than by its shape.
    """
    data, shape = node.inputs
    entries = integers(shape)
    if entries is None:
        return None
    here = known
    if here is None and data.shape is not None:
        here = [_size(data, axis, size) for axis, size in enumerate(data.shape)]
    found: list[Size | None] = []
    for axis, entry in enumerate(entries):
        if entry is not None and entry.value == 0 and not node.attrs.get("allowzero", 0):
            found.append(here[axis] if here is not None and axis < len(here) else None)
        else:
            found.append(None if entry is None or (entry.value is not None and entry.value < 0) else entry)
    return found


def integers(tensor: Any, deep: int = 0) -> list[Size | None] | None:
    """The integers of a scalar or vector, each None where it is not known; None where not even their number is."""
    values = constant(tensor)
    if values is not None:
        return (
            [Size.number(int(v)) for v in values.reshape(-1)] if values.dtype.kind in "iu" and values.ndim < 2 else None
        )
    node = producer(tensor)
    if node is None or deep > _DEEP:
        return None
    if node.op in _SAME or (node.op == "Reshape" and tensor.shape is not None and len(tensor.shape) < 2):
        return integers(node.inputs[0], deep + 1)
    if node.op == "Shape":
        data = node.inputs[0]
        if data.shape is None:
            return None
        lengths: list[Size | None] = [_size(data, axis, size) for axis, size in enumerate(data.shape)]
        return lengths[node.attrs.get("start", 0) : node.attrs.get("end", len(lengths))]
    if node.op == "Concat":
        parts = [integers(part, deep + 1) for part in node.inputs]
        return None if any(part is None for part in parts) else [v for part in parts if part is not None for v in part]
    if node.op == "Gather":
        return _gathered(node, deep)
    if node.op == "Slice":
        return _sliced(node, deep)
    if node.op in ("Add", "Sub", "Mul", "Div"):
        return _arithmetic(node, deep)
    if node.op == "ReduceProd":
        whole = integers(node.inputs[0], deep + 1)
        known = [entry for entry in whole or [None] if entry is not None]
        return [product(known)] if whole is not None and len(known) == len(whole) else [None]
    return None


def _gathered(node: Any, deep: int) -> list[Size | None] | None:
    source, chosen = integers(node.inputs[0], deep + 1), constant(node.inputs[1])
    if source is None or chosen is None or node.attrs.get("axis", 0) != 0:
        return None
    picked = [int(index) for index in chosen.reshape(-1)]
    return [source[index] for index in picked] if all(-len(source) <= i < len(source) for i in picked) else None


def _sliced(node: Any, deep: int) -> list[Size | None] | None:
    source = integers(node.inputs[0], deep + 1)
    bounds = [constant(value) for value in node.inputs[1:]]
    if source is None or any(bound is None or bound.size != 1 for bound in bounds):
        return None
    start, end, *rest = (int(bound.reshape(-1)[0]) for bound in bounds if bound is not None)
    return source[start : end : rest[1] if len(rest) > 1 else 1]


def _arithmetic(node: Any, deep: int) -> list[Size | None] | None:
    left, right = (integers(value, deep + 1) for value in node.inputs)
    if left is None or right is None or (1 not in (len(left), len(right)) and len(left) != len(right)):
        return None
    long = max(len(left), len(right))
    pairs = zip(left * (long // len(left)), right * (long // len(right)), strict=True)
    return [None if a is None or b is None else _apply(node.op, a, b) for a, b in pairs]


def _apply(op: str, a: Size, b: Size) -> Size | None:
    if op == "Div":
        if b.value is None:
            return a.over(b)
        # ONNX rounds towards zero: a floor only where nothing is negative.
        return a.floordiv(b.value) if b.value > 0 and (a.value is None or a.value >= 0) else None
    return {"Add": a.__add__, "Sub": a.__sub__, "Mul": a.__mul__}[op](b)


def widest(*kinds: Any) -> Any:
    """The widest of some float types; None where none is known."""
    known = [np.dtype(kind) for kind in kinds if kind is not None]
    return max(known, key=lambda kind: kind.itemsize, default=None)
