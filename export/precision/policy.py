"""The static policy: which nodes stay FP32 by rule, and the reason for each.

A rule is a ``hazard`` or a ``caution``. A hazard always applies: the 16-bit type is wrong there by structure, or it
overflows on data that samples may not contain, or emulation cannot show the error, because it is inside a kernel. A caution
usually costs little and matters for some data only: a measurement may overrule it.
"""

from dataclasses import dataclass
from typing import Literal

from onnx import ModelProto

from .graph import GraphIndex, normalise
from .halves import FP16, HalfName, HalfType, half_type, prepared
from .operators import moves_data
from .rules import RULES, RuleSeverity

Severity = Literal["hazard", "caution", "measured"]


@dataclass(frozen=True)
class Decision:
    """A node that stays FP32, the rule that decided it, and the reason in plain words.

    ``severity`` is the rule's, or ``measured`` if a search found the node.
    """

    node: str
    rule: str
    reason: str
    severity: Severity = "hazard"


def decide(model: ModelProto, only: RuleSeverity | None = None, precision: HalfName = "fp16") -> list[Decision]:
    """Return the nodes of a float32 model that stay FP32, in graph order, each with the first rule that finds it.

    The rules see each body of an If, Loop or Scan as a model of its own, with the constants that it captures.

    ``only`` selects the decisions of one severity; a node that rules of both severities find is a hazard. ``model`` is
    as in ``to_half_model``; nodes without a name get the names that ``normalise`` gives. Raises what ``normalise`` raises.
    """
    half = half_type(precision)
    return decide_in(GraphIndex(normalise(prepared(model, half))), only, half)


def decide_in(index: GraphIndex, only: RuleSeverity | None = None, half: HalfType = FP16) -> list[Decision]:
    """``decide`` for a normalised model."""
    decisions: dict[str, Decision] = {}
    for rule in RULES:
        for node, reason in rule.find(index, half):
            matters = index.touches_single(node) and (rule.masks or not moves_data(node))
            if matters and node.name not in decisions:
                decisions[node.name] = Decision(node.name, rule.name, reason, rule.severity)
    ordered: list[Decision] = []
    for node in index.nodes:
        if node.name in decisions:
            ordered += [decisions[node.name]] if only in (None, decisions[node.name].severity) else []
            continue
        for body in index.bodies.get(node.name, ()):
            ordered += decide_in(body, only, half)
    return ordered
