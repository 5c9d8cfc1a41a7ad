"""The static policy: which nodes stay FP32 by rule, with the reason of each.

A rule is a ``hazard`` or a ``caution``. A hazard must hold whatever was measured: the low type is wrong there by
structure, or overflows on data that no sample may have shown, or inside a kernel, where emulation does not look. A
caution usually costs little to keep and matters for some data only: a measurement may drop it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnx import ModelProto

from .graph import GraphIndex, normalise
from .halves import FP16, HalfName, HalfType, half_type
from .operators import moves_data
from .opset import prepared
from .rules import RULES, constants, infinities, partial_masks

# Where is data movement, but not where a mask is what it chooses.
_MASKS = (constants, infinities, partial_masks)

Severity = Literal["hazard", "caution", "asked", "measured"]


@dataclass(frozen=True)
class Decision:
    """A node that stays FP32, the rule that says so, and the reason in a user's words.

    ``severity``: the rule's class, ``asked`` where the caller named the node, ``measured`` where a search found it.
    """

    node: str
    rule: str
    reason: str
    severity: Severity = "hazard"


def decide(
    model: ModelProto, only: Literal["hazard", "caution"] | None = None, precision: HalfName = "fp16"
) -> list[Decision]:
    """The nodes of a float32 model that stay FP32, in graph order, each by the first rule that names it.

    ``only`` gives those of one class; a node that rules of both classes name is a hazard. ``model`` is as ``to_fp16``
    takes it; nodes without a name are named as ``normalise`` does. Raises what it raises.
    """
    half = half_type(precision)
    return decide_in(GraphIndex(normalise(prepared(model, half))), only, half)


def decide_in(
    index: GraphIndex, only: Literal["hazard", "caution"] | None = None, half: HalfType = FP16
) -> list[Decision]:
    """``decide`` on a normalised model."""
    chosen: dict[str, Decision] = {}
    for rule in RULES:
        name = rule.__name__.rpartition(".")[2]
        for node, reason in rule.find(index, half):
            matters = index.touches_single(node) and (rule in _MASKS or not moves_data(node))
            if matters and node.name not in chosen:
                chosen[node.name] = Decision(node.name, name, reason, rule.SEVERITY)
    found = [chosen[node.name] for node in index.nodes if node.name in chosen]
    return [decision for decision in found if only in (None, decision.severity)]
