"""What a raising rule finds: the domain operator that takes a node's place, and how to write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..domain import DOMAIN
from ..graph.builder import Emit, Value


@dataclass(frozen=True)
class Raise:
    """``build`` writes what gives the same as ``node``, with the operators ``ops`` of the domain in it.

    With ``keep`` it gives what ``node`` takes as its first input, and the node stays: a Reshape to other axes than the operator's own.
    """

    node: Any
    ops: tuple[str, ...]
    build: Callable[[Emit], Value]
    keep: bool = False


Rule = Callable[[Any], "Raise | str | None"]
"""None where the spelling is another; a reason where it looks like windows and is not proved."""


def domain_op(emit: Emit, op: str, x: Value, attributes: dict[str, Any]) -> Value:
    """One operator of the domain."""
    y = emit.op(op, x, **attributes)
    emit.nodes[-1].domain = DOMAIN
    return y
