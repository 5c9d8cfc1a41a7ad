"""Which nodes stay FP32 in an FP16 model, and why: a static policy of a few rules, each one a file in rules/.

A decision is made from the graph alone, before any run. Data movement is never decided on (it takes the type of its
data), unless it brings in a constant that FP16 cannot hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto

from .graph import GraphIndex, normalise
from .operators import moves_data
from .rules import RULES, constants


@dataclass(frozen=True)
class Decision:
    """A node that stays FP32, the rule that says so, and the reason in a user's words."""

    node: str
    rule: str
    reason: str


def decide(model: ModelProto) -> list[Decision]:
    """The nodes of a float32 model that stay FP32, in graph order, each by the first rule that names it.

    ``model`` is as ``to_fp16`` takes it; nodes without a name are named as ``normalise`` does. Raises what it raises.
    """
    return decide_in(GraphIndex(normalise(model)))


def decide_in(index: GraphIndex) -> list[Decision]:
    """``decide`` on a normalised model."""
    chosen: dict[str, Decision] = {}
    for rule in RULES:
        name = rule.__name__.rpartition(".")[2]
        for node, reason in rule.find(index):
            matters = index.touches_single(node) and (rule is constants or not moves_data(node))
            if matters and node.name not in chosen:
                chosen[node.name] = Decision(node.name, name, reason)
    return [chosen[node.name] for node in index.nodes if node.name in chosen]
