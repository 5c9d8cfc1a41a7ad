"""What is known of sizes: the length of an axis, and the integers that Shape, Gather, Add … compute from lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from .linear import Linear, parse, product

# Operators that hand integers on as they are, in the same order.
_SAME = {"Squeeze", "Unsqueeze", "Reshape", "Cast", "Identity", "Flatten"}


def constant(tensor: Any) -> np.ndarray | None:
    """The values of a constant tensor, None where it is computed."""
    return np.asarray(tensor.values) if isinstance(tensor, gs.Constant) else None


def producer(tensor: Any) -> Any:
    """The node that makes a tensor, None for graph inputs and constants."""
    return tensor.inputs[0] if not isinstance(tensor, gs.Constant) and tensor.inputs else None


def length(tensor: Any, axis: int) -> Linear | None:
    """The length of an axis: from the tensor's shape, or through the Pad that made it."""
    values = constant(tensor)
    if values is not None:
        return Linear(values.shape[axis])
    size = tensor.shape[axis] if tensor.shape is not None and axis < len(tensor.shape) else None
    if isinstance(size, int) and size >= 0:
        return Linear(size)
    if isinstance(size, str) and size and not size.startswith("unk__"):
        found = parse(size)
        if found is not None:
            return found
    node = producer(tensor)
    if node is not None and node.op == "Pad" and len(node.inputs) < 4:
        pads = constant(node.inputs[1])
        inner = length(node.inputs[0], axis)
        if pads is not None and inner is not None:
            rank = len(pads) // 2
            return inner + Linear(int(pads[axis]) + int(pads[rank + axis]))
    return None


def integers(tensor: Any) -> list[Linear] | None:
    """The integers of a scalar or one-dimensional tensor in order, each linear in free sizes; None where one is not."""
    values = constant(tensor)
    if values is not None:
        if values.dtype.kind not in "iu" or values.ndim > 1:
            return None
        return [Linear(int(v)) for v in values.reshape(-1)]
    node = producer(tensor)
    if node is None:
        return None
    if node.op == "Shape":
        return _shape(node)
    if node.op in _SAME:
        return integers(node.inputs[0])
    if node.op == "Concat":
        parts = [integers(part) for part in node.inputs]
        return None if any(p is None for p in parts) else [v for p in parts if p is not None for v in p]
    if node.op == "Gather":
        source, chosen = integers(node.inputs[0]), constant(node.inputs[1])
        if source is None or chosen is None or node.attrs.get("axis", 0) != 0:
            return None
        picked = [int(i) for i in chosen.reshape(-1)]
        return [source[i] for i in picked] if all(-len(source) <= i < len(source) for i in picked) else None
    if node.op == "Slice":
        source, bounds = integers(node.inputs[0]), [constant(value) for value in node.inputs[1:]]
        if source is None or any(values is None or values.size != 1 for values in bounds):
            return None
        start, end, axis, step = (*(int(v.reshape(-1)[0]) for v in bounds if v is not None), *(0, 1)[len(bounds) - 2 :])
        return source[start:end:step] if axis == 0 and step > 0 else None
    if node.op in ("Add", "Sub", "Mul", "Div"):
        return _arithmetic(node)
    return None


def _shape(node: Any) -> list[Linear] | None:
    data = node.inputs[0]
    if data.shape is None:
        return None
    lengths = [length(data, axis) for axis in range(len(data.shape))]
    start, end = node.attrs.get("start", 0), node.attrs.get("end", len(lengths))
    chosen = lengths[start:end]
    # An axis that nothing is known of spoils only what uses it; but a list has no holes.
    return [v if v is not None else Linear.symbol(f"{data.name}[{i}]") for i, v in enumerate(chosen, start)]


def _arithmetic(node: Any) -> list[Linear] | None:
    left, right = (integers(value) for value in node.inputs)
    if left is None or right is None or (1 not in (len(left), len(right)) and len(left) != len(right)):
        return None
    size = max(len(left), len(right))
    pairs = list(zip(left * (size // len(left)), right * (size // len(right)), strict=True))
    if node.op == "Div":
        if not all(a.known and b.known and a.constant >= 0 and b.constant > 0 for a, b in pairs):
            return None
        return [Linear(a.constant // b.constant) for a, b in pairs]
    if node.op == "Mul":
        products = [product(a, b) for a, b in pairs]
        return None if any(p is None for p in products) else [p for p in products if p is not None]
    return [a + b if node.op == "Add" else a - b for a, b in pairs]
