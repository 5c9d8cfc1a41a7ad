"""The nodes in the bodies of If, Loop and Scan have no switch in the toggle graph: the rules alone choose among them.

first check     the bodies in FP16, except what a rule keeps, cautions included
it fails        each node with bodies stays FP32 as a whole while the search chooses among the other nodes
it ends         the bodies return to FP16 if the chosen set passes with them
"""

import math

from ..precision.graph import GraphIndex
from ..precision.policy import Decision, decide_in
from .evidence import Score


def decided_by_rules(index: GraphIndex) -> list[Decision]:
    """The cautions about nodes in bodies, which no measurement overrules."""
    outer = {node.name for node in index.nodes}
    return [decision for decision in decide_in(index, "caution") if decision.node not in outer]


def kept_whole(index: GraphIndex, first: Score) -> list[Decision]:
    """A decision for each node whose bodies compute on float32 data: it stays FP32 as a whole. ``first`` failed."""
    error = (
        f"{first.worst:.2f} times PyTorch's FP16 error" if math.isfinite(first.worst) else "values that are not finite"
    )
    return [
        Decision(name, "search", f"measured: with its bodies in FP16, the outputs have {error}", "measured")
        for name, bodies in index.bodies.items()
        if any(body.touches_single(node) for body in bodies for node in body.every_node())
    ]
