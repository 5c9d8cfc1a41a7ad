"""The form of a precision rule: a name, a severity, and a function that finds the nodes that stay FP32."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from onnx import NodeProto

from ..graph import GraphIndex
from ..halves import HalfType

RuleSeverity = Literal["hazard", "caution"]
Matches = Iterator[tuple[NodeProto, str]]
"""Each node that stays FP32, with the reason. A rule may yield a node more than once."""


@dataclass(frozen=True)
class PrecisionRule:
    """One reason to keep nodes in FP32.

    ``find(index, half)`` yields the nodes of a normalised model that must not compute in the 16-bit type. A ``hazard``
    applies whatever a search measures; a ``caution`` can be overruled by a measurement (see ``policy``). Data movement
    takes the type of its data, so a rule cannot keep it in FP32, except a rule about ``masks``: a Where may apply one.
    """

    name: str
    severity: RuleSeverity
    find: Callable[[GraphIndex, HalfType], Matches]
    masks: bool = False
