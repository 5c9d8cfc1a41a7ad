"""Sums over more than 1024 elements, which still end within FP16's digits, stay FP32.

    ReduceSum, ReduceMean, ReduceL1, GlobalAveragePool, AveragePool over 1024 < N <= 2048

Effect: a sum of up to 1024 terms of similar size keeps three digits; a longer sum loses the last one (``accumulations``
handles more than 2048 terms).
"""

from ..graph import GraphIndex
from ..halves import HalfType
from ..walk import SUMS, reduced_elements
from .rule import Matches, PrecisionRule


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield long reductions."""
    long = half.counts_to // 2
    for node in index.nodes:
        terms = reduced_elements(index, node) if node.op_type in SUMS else None
        if terms is not None and terms > long:
            yield node, f"it sums over {terms} elements; beyond {long} {half.title} loses terms"


RULE = PrecisionRule("reductions", "caution", find)
