"""Sums over more than 2048 terms or an unknown number of terms, and running sums, stay FP32.

    ReduceSum, ReduceMean, ReduceL1, GlobalAveragePool, AveragePool over N > 2048;  CumSum

Effect: an FP16 sum of ones stops growing at 2048 (2048 + 1 = 2048), and ends at 65504. Emulation on a CPU cannot show
whether a kernel sums in FP16. Matrix products and convolutions sum in FP32 on tensor cores.
"""

from ..graph import GraphIndex
from ..halves import HalfType
from ..walk import SUMS, reduced_elements
from .rule import Matches, PrecisionRule


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield long sums and running sums."""
    long = half.counts_to
    for node in index.nodes:
        if node.op_type == "CumSum":
            yield node, f"a running sum loses its last terms in {half.title}"
        elif node.op_type in SUMS:
            terms = reduced_elements(index, node)
            if terms is None:
                yield (
                    node,
                    f"it sums over a number of elements that is not known; beyond {long} a sum in {half.title} stops growing",
                )
            elif terms > long:
                yield node, f"it sums over {terms} elements; beyond {long} a sum in {half.title} stops growing"


RULE = PrecisionRule("accumulations", "hazard", find)
