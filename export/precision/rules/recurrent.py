"""Recurrent operators stay FP32: RNN, GRU, LSTM.

    h_t = GRU(x_t, h_{t-1})         the state passes through all steps: its rounding errors add up

Effect: a state that changes by less than half a digit per step never changes. An engine gains little from FP16, because
sequential steps are limited by latency.
"""

from ..graph import GraphIndex
from ..halves import HalfType
from .rule import Matches, PrecisionRule

_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


def find(index: GraphIndex, half: HalfType) -> Matches:
    """Yield recurrent operators."""
    for node in index.nodes:
        if node.op_type in _RECURRENT:
            yield node, f"the state of {node.op_type} goes through every step, and {half.title} rounding adds up"


RULE = PrecisionRule("recurrent", "hazard", find)
