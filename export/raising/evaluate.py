"""Evaluate integers that are computed from constants by operators that constant folding leaves in the graph.

Folding stops at ConstantOfShape and NonZero, which the TorchScript exporter writes for ``arange`` and for every F.pad: torch counts
pads from the last axis, ONNX from the first, and the graph reverses them. Inference does not know the shapes behind such a Pad, and
TensorRT requires constants.

    Pad(x, Cast(Reshape(Transpose(Slice(Reshape(Concat(p, ConstantOfShape(n)))))))) -> Pad(x, pads)
"""

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from ..graph.shapes import constant, producer


def numbers(tensor: Any) -> np.ndarray | None:
    """The integers of a tensor that is computed from constants alone; None for any other."""
    values = constant(tensor)
    if values is not None:
        return values if values.dtype.kind in "iu" else None
    node = producer(tensor)
    if node is None or node.op not in _MOVES or not node.inputs:
        return None
    inputs = [numbers(value) for value in node.inputs]
    moved: np.ndarray | None = None if any(value is None for value in inputs) else _MOVES[node.op](node, *inputs)
    return moved


def _filled(node: Any, shape: np.ndarray) -> np.ndarray | None:
    value = node.attrs.get("value")  # floats where there is none
    return None if value is None or value.values.dtype.kind not in "iu" else np.full(shape, value.values.reshape(-1)[0])


def _reshaped(node: Any, data: np.ndarray, shape: np.ndarray) -> np.ndarray:
    copies = not node.attrs.get("allowzero")
    return data.reshape([data.shape[i] if copies and size == 0 else int(size) for i, size in enumerate(shape)])


def _sliced(node: Any, data: np.ndarray, *bounds: np.ndarray) -> np.ndarray:
    defaults = [np.arange(len(bounds[0])), np.ones(len(bounds[0]), np.int64)]
    given = [*bounds, *defaults[len(bounds) - 2 :]]
    chosen = [slice(None)] * data.ndim
    for start, end, axis, step in zip(*(values.tolist() for values in given), strict=True):
        # An end before the first value, which ONNX writes as a large negative number, is None in Python.
        chosen[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(chosen)]


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


def settle_pads(graph: Any) -> bool:
    """Replace such inputs of the graph's Pads in place; return whether there was one."""
    changed = False
    for node in graph.nodes:
        if node.op != "Pad" or len(node.inputs) < 2 or constant(node.inputs[1]) is not None:
            continue
        pads = numbers(node.inputs[1])
        if pads is not None and pads.ndim == 1:
            node.inputs[1] = gs.Constant(f"{node.name or node.outputs[0].name}/pads", pads.astype(np.int64))
            changed = True
    return changed
