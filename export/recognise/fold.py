"""Windows of a constant are a constant, as in masks of the places that lie in the image."""

from __future__ import annotations

from typing import Any

import onnx_graphsurgeon as gs

from ..domain import OPERATORS
from ..graph.shapes import constant

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
