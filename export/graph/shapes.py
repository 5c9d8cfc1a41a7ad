"""The lengths of a tensor's axes, and the integers that Shape, Gather, Mul … compute from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from .size import Size, parse, product

_SAME = {"Squeeze", "Unsqueeze", "Cast", "Identity", "Flatten"}
"""Operators that keep integers and their order."""
_MAX_DEPTH = 40
"""The longest chain of integer arithmetic that is followed."""


def constant(tensor: Any) -> np.ndarray | None:
    """The values of a constant tensor; None if it is computed."""
    return np.asarray(tensor.values) if isinstance(tensor, gs.Constant) else None


def scalar(tensor: Any) -> float | None:
    """The number in a constant tensor of one value and at most one axis."""
    if not isinstance(tensor, gs.Constant) or len(tensor.shape) > 1:
        return None
    values = np.asarray(tensor.values)
    return float(values.reshape(-1)[0]) if values.size == 1 and values.dtype.kind in "fiu" else None


def producer(tensor: Any) -> Any:
    """The node that computes a tensor; None for graph inputs and constants."""
    return tensor.inputs[0] if not isinstance(tensor, gs.Constant) and tensor.inputs else None


def length(tensor: Any, axis: int) -> Size | None:
    """The length of an axis, from the tensor's shape or through the Pad that computes the tensor; None if it is not known."""
    if tensor.shape is None or not -len(tensor.shape) <= axis < len(tensor.shape):
        return None
    axis %= len(tensor.shape)
    size = tensor.shape[axis]
    if _is_known(size):
        return Size.number(size) if isinstance(size, int) else parse(size)
    node = producer(tensor)
    if node is None or node.op != "Pad" or len(node.inputs) > 3:  # a fourth input picks the axes
        return None
    pads, inner = constant(node.inputs[1]), length(node.inputs[0], axis)
    if pads is None or inner is None:
        return None
    return inner + Size.number(int(pads[axis]) + int(pads[len(pads) // 2 + axis]))


def size_of(tensor: Any, axis: int) -> Size:
    """The length of an axis; a free size if nothing is known of it. Shape inference invents one name for equal lengths."""
    known = length(tensor, axis)
    if known is not None:
        return known
    name = tensor.shape[axis]
    return Size.symbol(name if isinstance(name, str) and name else f"{tensor.name}[{axis}]")


def sizes_of(tensor: Any) -> tuple[Size, ...] | None:
    """The length of every axis, see :func:`size_of`; from the Reshape that computes the tensor, too. None without a rank."""
    if tensor.shape is None:
        return None
    node, computed = producer(tensor), None
    if node is not None and node.op == "Reshape" and not all(map(_is_known, tensor.shape)):
        computed = reshape_target(node)
    if computed is None or len(computed) != len(tensor.shape):
        computed = [None] * len(tensor.shape)
    return tuple(
        size_of(tensor, axis) if size is None or _is_known(tensor.shape[axis]) else size
        for axis, size in enumerate(computed)
    )


def _is_known(size: int | str | None) -> bool:
    """Whether a dimension is a number or a name that an exporter wrote: shape inference invents names like ``unk__7``."""
    return size >= 0 if isinstance(size, int) else bool(size) and not str(size).startswith("unk__")


def reshape_target(node: Any, known: Sequence[Size] | None = None) -> list[Size | None] | None:
    """The sizes that the shape input of a Reshape computes, with zeros filled in; an entry is None if it is -1 or not known.

    ``known`` holds the sizes of the data if they are better known than from its shape.
    """
    data, shape = node.inputs
    entries = integers(shape)
    if entries is None:
        return None
    if known is None and data.shape is not None:
        known = [size_of(data, axis) for axis in range(len(data.shape))]
    target: list[Size | None] = []
    for axis, entry in enumerate(entries):
        if entry is not None and entry.value == 0 and not node.attrs.get("allowzero", 0):
            target.append(known[axis] if known is not None and axis < len(known) else None)
        else:
            target.append(None if entry is None or (entry.value is not None and entry.value < 0) else entry)
    return target


def all_integers(tensor: Any) -> list[Size] | None:
    """The integers of a scalar or vector; None if one of them is not known."""
    entries = integers(tensor)
    known = [entry for entry in entries or () if entry is not None]
    return None if entries is None or len(known) < len(entries) else known


def integers(tensor: Any, depth: int = 0) -> list[Size | None] | None:
    """The integers of a scalar or vector, None for each that is not known; None if their number is not known either."""
    values = constant(tensor)
    if values is not None:
        listed = values.dtype.kind in "iu" and values.ndim < 2
        return [Size.number(int(v)) for v in values.reshape(-1)] if listed else None
    node = producer(tensor)
    if node is None or depth > _MAX_DEPTH:
        return None
    if node.op in _SAME or (node.op == "Reshape" and _is_flat(tensor)):
        return integers(node.inputs[0], depth + 1)
    if node.op == "Shape":
        data = node.inputs[0]
        if data.shape is None:
            return None
        lengths: list[Size | None] = [size_of(data, axis) for axis in range(len(data.shape))]
        return lengths[node.attrs.get("start", 0) : node.attrs.get("end", len(lengths))]
    if node.op == "Concat":
        parts = [integers(part, depth + 1) for part in node.inputs]
        return None if any(part is None for part in parts) else [v for part in parts if part is not None for v in part]
    if node.op == "Gather":
        return _gathered(node, depth)
    if node.op == "Slice":
        return _sliced(node, depth)
    if node.op in ("Add", "Sub", "Mul", "Div"):
        return _arithmetic(node, depth)
    if node.op == "ReduceProd":
        whole = integers(node.inputs[0], depth + 1)
        known = [entry for entry in whole or () if entry is not None]
        return [product(known)] if whole is not None and len(known) == len(whole) else [None]
    return None


def _is_flat(tensor: Any) -> bool:
    """Whether the output of a Reshape is known to have at most one axis."""
    if tensor.shape is not None:
        return len(tensor.shape) < 2
    target = constant(producer(tensor).inputs[1])
    return target is not None and target.size < 2


def _gathered(node: Any, depth: int) -> list[Size | None] | None:
    source, chosen = integers(node.inputs[0], depth + 1), constant(node.inputs[1])
    if source is None or chosen is None or node.attrs.get("axis", 0) != 0:
        return None
    picked = [int(index) for index in chosen.reshape(-1)]
    return [source[index] for index in picked] if all(-len(source) <= i < len(source) for i in picked) else None


def _sliced(node: Any, depth: int) -> list[Size | None] | None:
    source = integers(node.inputs[0], depth + 1)
    bounds = [constant(value) for value in node.inputs[1:]]
    if source is None or any(bound is None or bound.size != 1 for bound in bounds):
        return None
    start, end, *rest = (int(bound.reshape(-1)[0]) for bound in bounds if bound is not None)
    axis, step = (*rest, *(0, 1)[len(rest) :])
    return source[start:end:step] if axis in (0, -1) else None


def _arithmetic(node: Any, depth: int) -> list[Size | None] | None:
    left, right = (integers(value, depth + 1) for value in node.inputs)
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
    """The widest of the float types that are known; None if none is."""
    known = [np.dtype(kind) for kind in kinds if kind is not None]
    return max(known, key=lambda kind: kind.itemsize, default=None)
