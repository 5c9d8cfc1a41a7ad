"""Pads that are numbers, and are computed all the same, become constants.

    Pad(x, Cast(Reshape(Transpose(Slice(Reshape(Concat(p, ConstantOfShape(n)))))))) -> Pad(x, pads)

So does the TorchScript exporter write every F.pad: torch counts pads from the last axis, ONNX from the first, and the reversal is left
to the run. Shapes behind such a Pad are unknown to inference, and TensorRT wants the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from .sizes import constant, producer


def settle_pads(graph: Any) -> bool:
    """Replace such inputs of the graph's Pads, in place; whether there was one."""
    changed = False
    for node in graph.nodes:
        if node.op != "Pad" or len(node.inputs) < 2 or constant(node.inputs[1]) is not None:
            continue
        pads = numbers(node.inputs[1])
        if pads is not None and pads.ndim == 1:
            node.inputs[1] = gs.Constant(f"{node.inputs[1].name}/known", pads.astype(np.int64))
            changed = True
    return changed


def numbers(tensor: Any) -> np.ndarray | None:
    """The integers of a tensor that is computed from constants alone by operators that move them; None for any other."""
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
    moved: np.ndarray = _MOVES[node.op](node, *taken)
    return moved


def _filled(node: Any, shape: np.ndarray) -> np.ndarray:
    value = node.attrs.get("value")
    return np.full(shape, int(value.values.reshape(-1)[0]) if value is not None else 0)


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
    "Cast": lambda node, data: data,
    "Identity": lambda node, data: data,
}
