"""The shape of a raising rule: one spelling of windows, and the domain operator that takes its place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..domain import DOMAIN
from ..graph.builder import GraphBuilder, Value

T = TypeVar("T")


@dataclass(frozen=True)
class Match(Generic[T]):
    """A node whose spelling a rule has matched and verified.

    ``ops`` are the domain operators that the rule writes, ``data`` what it needs to write them. With ``keep`` they compute the
    first input of ``node``, and the node stays: a Reshape to other axes than the operator's.
    """

    node: Any
    ops: tuple[str, ...]
    data: T
    keep: bool = False


@dataclass(frozen=True)
class RaisingRule(Generic[T]):
    """``find`` returns a match, None if the spelling is another, or the reason to refuse windows that it cannot verify.

    ``build`` writes the operators and returns the value that takes the place of the node's output.
    """

    name: str
    find: Callable[[Any], Match[T] | str | None]
    build: Callable[[GraphBuilder, Match[T]], Value]


def domain_op(emit: GraphBuilder, op: str, x: Value, attributes: dict[str, Any]) -> Value:
    """Write one operator of the domain."""
    y = emit.op(op, x, **attributes)
    emit.nodes[-1].domain = DOMAIN
    return y
