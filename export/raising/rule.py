"""What a raising rule finds: the domain operator that takes a node's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Raise:
    """``op`` on ``x`` with ``attributes`` gives what ``node`` gives, after a Transpose by ``perm`` where there is one.

    With ``keep`` it gives what ``node`` takes as its first input, and the node stays: a Reshape to other axes than the operator's own.
    """

    op: str
    x: Any
    attributes: dict[str, Any]
    node: Any
    perm: list[int] | None = None
    keep: bool = False
