"""Rewrites of standard operators that prepare a captured graph for the stages after it.

Einsum equations get the letters that TensorRT reads, ReLUs move to the layers that fuse with them, computed Reshape sizes become
constants, and writes at the places of a mask become Where.
"""

import onnx

from ..graph.rewrites import Simplified
from .einsum_letters import einsum_letters
from .masked_writes import masked_writes
from .relu_before_pool import relu_before_pool
from .settle_shapes import settle_shapes

__all__ = ["PASSES", "Simplified", "simplify"]

PASSES = (einsum_letters, relu_before_pool, settle_shapes, masked_writes)
"""All passes, in the order in which they run."""


def simplify(model: onnx.ModelProto) -> Simplified:
    """Run all passes. ``model`` is not changed. ``refused`` lists the nodes that a pass matched but left, with the reason."""
    result = Simplified(model)
    for run in PASSES:
        step = run(result.model)
        result = Simplified(step.model, result.applied + step.applied, result.refused + step.refused)
    return result
