"""Replace Pad amounts that are computed from constants by constants.

    Pad(x, Cast(Reshape(Transpose(Slice(Reshape(Concat(p, ConstantOfShape(n)))))))) -> Pad(x, pads)

The TorchScript exporter writes every F.pad like this: torch counts pads from the last axis, ONNX from the first, and the graph
reverses them. Inference does not know the shapes behind such a Pad, and TensorRT requires constants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from ..graph.shapes import constant
from .evaluate import numbers


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
