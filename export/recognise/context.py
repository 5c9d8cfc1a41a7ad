"""What the passes share: the graph, what is known of its values, what was found, and why the rest was left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..graph.builder import GraphBuilder, Value
from .arrange import Arrange, Sizes
from .views import View
from .windows import Window


@dataclass(frozen=True)
class LocalOperator:
    """A local operator put in: its node, the source nodes that it stands for, and one line for the reader."""

    node: str
    operator: str
    consumed: tuple[str, ...]
    description: str


@dataclass
class Recognition:
    """The state of one run over a graph. ``nodes`` are the new nodes, ``replaced`` the names of outputs that they took over."""

    graph: Any
    taken: set[str]
    views: dict[str, View] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)
    found: list[LocalOperator] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """By window operator, why its windows were left, the first time that was said."""

    def __post_init__(self) -> None:
        self.sizes = Sizes(self.graph)
        self.outputs = {tensor.name for tensor in self.graph.outputs}

    def view(self, tensor: Any) -> View | None:
        """What is known of a value."""
        return self.views.get(tensor.name)

    def left(self, window: Window, reason: str) -> None:
        """Say why windows stay; the first reason is the one closest to them."""
        for name in window.nodes:
            self.reasons.setdefault(name, reason)

    def arrange(self, node: Any) -> Arrange:
        """A builder of nodes that are named after ``node``."""
        return Arrange(GraphBuilder(node, self.taken, self.graph.opset), self.sizes)

    def keep(self, arrange: Arrange) -> None:
        """Take over helper nodes that replace nothing by themselves."""
        self.nodes += arrange.emit.nodes

    def replace(self, node: Any, arrange: Arrange, result: Value) -> None:
        """Let ``result`` be the output of ``node``."""
        arrange.emit.finish(result)
        self.nodes += arrange.emit.nodes

    def used_elsewhere(self, tensors: Iterable[Any]) -> str | None:
        """The name of the first value that is a graph output or has more than one use."""
        return next((t.name for t in tensors if t.name in self.outputs or len(t.outputs) != 1), None)
