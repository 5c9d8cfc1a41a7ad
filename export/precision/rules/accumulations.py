"""Sums over more than 2048 terms, or over a number that is not known, and running sums stay FP32.

    ReduceSum, ReduceMean, ReduceL1, GlobalAveragePool, AveragePool over N > 2048;  CumSum

Effect: a sum that is kept in FP16 stops growing at 2048 where terms of 1 are added (2048 + 1 = 2048) and ends at
65504. Whether a kernel keeps it in FP16 no emulation on a CPU can show. Matrix products and convolutions sum in FP32
on tensor cores.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnx import NodeProto

from ..graph import GraphIndex
from ..walk import SUMS, reduced_elements

SEVERITY = "hazard"
LONG = 2048


def find(index: GraphIndex) -> Iterator[tuple[NodeProto, str]]:
    """Yield long sums and running sums."""
    for node in index.nodes:
        if node.op_type == "CumSum":
            yield node, "a running sum loses its last terms in FP16"
        elif node.op_type in SUMS:
            terms = reduced_elements(index, node)
            if terms is None:
                yield (
                    node,
                    f"it sums over a number of elements that is not known; beyond {LONG} an FP16 sum stops growing",
                )
            elif terms > LONG:
                yield node, f"it sums over {terms} elements; beyond {LONG} an FP16 sum stops growing"
