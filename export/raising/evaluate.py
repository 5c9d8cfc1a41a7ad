"""Evaluate integers that are computed from constants by operators that constant folding leaves in the graph.

Folding stops at ConstantOfShape and NonZero, which the TorchScript exporter writes for padding and for ``arange``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..graph.shapes import constant, producer


def numbers(tensor: Any) -> np.ndarray | None:
    """The integers of a tensor that is computed from constants alone; None for any other."""
    values = constant(tensor)
    if values is not None:
        return values if values.dtype.kind in "iu" else None
    node = producer(tensor)
    if node is None or node.op not in _MOVES or not node.inputs:
        return None
    taken = []
    for value in node.inputs:
        found = numbers(value)
        if found is None:
            return None
        taken.append(found)
    moved: np.ndarray | None = _MOVES[node.op](node, *taken)
    return moved


def _filled(node: Any, shape: np.ndarray) -> np.ndarray | None:
    value = node.attrs.get("value")  # floats where there is none
    return None if value is None or value.values.dtype.kind not in "iu" else np.full(shape, value.values.reshape(-1)[0])


def _reshaped(node: Any, data: np.ndarray, shape: np.ndarray) -> np.ndarray:
    copied = [
        data.shape[i] if size == 0 and not node.attrs.get("allowzero") else int(size) for i, size in enumerate(shape)
    ]
    return data.reshape(copied)


def _sliced(node: Any, data: np.ndarray, *bounds: np.ndarray) -> np.ndarray:
    starts, ends, axes, steps = (*bounds, *_defaults(len(bounds), len(bounds[0])))
    chosen = [slice(None)] * data.ndim
    for start, end, axis, step in zip(*(b.tolist() for b in (starts, ends, axes, steps)), strict=True):
        # An end before the first value, which ONNX writes as a large negative number, is None in Python.
        chosen[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(chosen)]


def _defaults(given: int, count: int) -> Iterator[np.ndarray]:
    if given < 3:
        yield np.arange(count)
    if given < 4:
        yield np.ones(count, np.int64)


_MOVES: dict[str, Any] = {
    "ConstantOfShape": _filled,
    "Concat": lambda node, *parts: np.concatenate(parts, axis=node.attrs["axis"]),
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Transpose": lambda node, data: np.transpose(data, node.attrs.get("perm")),
    "NonZero": lambda node, data: np.stack(np.nonzero(data)),
    "Unsqueeze": lambda node, data, axes: np.expand_dims(data, tuple(axes.tolist())),
    "Squeeze": lambda node, data, *axes: np.squeeze(data, *(tuple(a.tolist()) for a in axes)),
    "Add": lambda node, a, b: a + b,
    "Mul": lambda node, a, b: a * b,
    "Cast": lambda node, data: data,
    "Identity": lambda node, data: data,
}
