"""Turn constants that a pass has rearranged into constants again, since lowerings read them; and windows of a constant.

Exact: Reshape, Transpose, Unsqueeze and Squeeze of a constant move numbers, which is done here instead of in the graph. So are
casts to wider floats, and sums of limited size, which are rounded as the graph rounds them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs
from onnx import helper

from ..domain import OPERATORS
from ..graph.shapes import constant, producer

MOVES = ("Transpose", "Reshape", "Unsqueeze", "Squeeze")
"""Operators that move numbers."""


def settle(nodes: Sequence[Any]) -> None:
    """Replace those of ``nodes`` (in graph order) that only rearrange a constant by the result."""
    for node in nodes:
        if node.domain not in ("", None) or not node.outputs:
            continue
        if not all(isinstance(value, gs.Constant) for value in node.inputs):
            continue
        moved = _moved(node.op, node.attrs, [np.asarray(value.values) for value in node.inputs])
        if moved is None:
            continue
        (output,) = node.outputs
        laid_out = gs.Constant(output.name, np.array(moved, order="C"))
        for reader in list(output.outputs):
            reader.inputs = [laid_out if value is output else value for value in reader.inputs]
        node.outputs.clear()


def settled(tensor: Any) -> np.ndarray | None:
    """The values of a constant, also of a rearranged one; None if they are computed."""
    values, node = constant(tensor), producer(tensor)
    if values is not None or node is None or node.op not in MOVES or node.domain not in ("", None):
        return values
    inputs = [settled(value) for value in node.inputs]
    known = [value for value in inputs if value is not None]
    return _moved(node.op, node.attrs, known) if len(known) == len(inputs) else None


def _moved(op: str, attrs: dict[str, Any], inputs: list[Any]) -> Any:
    x, *rest = inputs
    if op == "Transpose":
        return x.transpose(attrs.get("perm"))
    if op == "Reshape":
        shape = [
            x.shape[axis] if size == 0 and not attrs.get("allowzero") else int(size)
            for axis, size in enumerate(rest[0])
        ]
        return x.reshape(shape)
    if op == "Unsqueeze" and rest:
        return np.expand_dims(x, tuple(int(axis) for axis in rest[0]))
    if op == "Squeeze" and rest:
        return np.squeeze(x, tuple(int(axis) for axis in rest[0]))
    if op in ("Add", "Cast") and x.dtype.kind == "f" and x.size <= MOST:
        return _rounded(op, attrs, x, *rest)
    return None


def _rounded(op: str, attrs: dict[str, Any], x: np.ndarray, *rest: np.ndarray) -> np.ndarray | None:
    if op == "Add":
        return x + rest[0] if np.broadcast_shapes(x.shape, rest[0].shape) in (x.shape, rest[0].shape) else None
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(int(attrs["to"])))
    return x.astype(kind) if kind.kind == "f" and kind.itemsize >= x.dtype.itemsize else None


MOST = 1 << 22
"""The most values of a constant in the model."""


def folded(node: Any) -> bool:
    """Replace the output of a window operator over a constant by a constant; return whether that was done."""
    values = constant(node.inputs[0])
    if values is None:
        return False
    places = 1
    for size in node.attrs.get("kernel", [node.attrs.get("size", 1)]):
        places *= int(size)
    if values.size * places > MOST:
        return False
    windows = OPERATORS[node.op].reference(values, **node.attrs)
    (output,) = node.outputs
    constant_windows = gs.Constant(f"{output.name}/constant", windows)
    for user in list(output.outputs):
        for at, tensor in enumerate(user.inputs):
            if tensor is output:
                user.inputs[at] = constant_windows
    return True
