"""Constants that a pass has laid out anew become constants again: a lowering looks into them.

Exact: Reshape, Transpose, Unsqueeze and Squeeze of a constant move numbers; they are moved here instead of in the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs


def settle(nodes: Sequence[Any]) -> None:
    """Take out of ``nodes`` (in the order of the graph) those that lay out a constant; their readers get the result."""
    for node in nodes:
        if node.domain not in ("", None) or not node.outputs:
            continue
        if not all(isinstance(value, gs.Constant) for value in node.inputs):
            continue
        moved = _moved(node.op, node.attrs, [np.asarray(value.values) for value in node.inputs])
        if moved is None:
            continue
        (output,) = node.outputs
        constant = gs.Constant(output.name, np.ascontiguousarray(moved))
        for reader in list(output.outputs):
            reader.inputs = [constant if value is output else value for value in reader.inputs]
        node.outputs.clear()


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
    if op == "Unsqueeze":
        return np.expand_dims(x, tuple(int(axis) for axis in rest[0]))
    if op == "Squeeze" and rest:
        return np.squeeze(x, tuple(int(axis) for axis in rest[0]))
    return None
