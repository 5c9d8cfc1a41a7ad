"""Long sums stay FP32: over more than 1024 elements, or over a number that is not known, and running sums.

    ReduceSum, ReduceMean, ReduceL1, GlobalAveragePool, AveragePool over N > 1024;  CumSum

Effect: an FP16 sum stops growing where a term is below its last digit (2048 + 1 = 2048) and ends at 65504. A sum of
up to 1024 terms of a common size keeps three digits. Matrix products and convolutions sum in FP32 on tensor cores.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnx import NodeProto

from ..graph import GraphIndex
from ..walk import reduced_elements

_SUMS = frozenset({"AveragePool", "GlobalAveragePool", "ReduceL1", "ReduceMean", "ReduceProd", "ReduceSum"})
LONG = 1024


def find(index: GraphIndex) -> Iterator[tuple[NodeProto, str]]:
    """Yield long reductions and running sums."""
    for node in index.nodes:
        if node.op_type == "CumSum":
            yield node, "a running sum loses its last terms in FP16"
        elif node.op_type in _SUMS:
            terms = reduced_elements(index, node)
            if terms is None:
                yield node, f"it sums over a number of elements that is not known; beyond {LONG} FP16 loses terms"
            elif terms > LONG:
                yield node, f"it sums over {terms} elements; beyond {LONG} FP16 loses terms"
