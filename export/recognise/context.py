"""The state that the passes share: the graph, its known values, the operators found, and the reasons for the rest."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..graph.builder import GraphBuilder, Value
from .arrange import Arrange, Sizes
from .views import View
from .windows import Window


@dataclass(frozen=True)
class LocalOperator:
    """A local operator in the graph: its node, the source nodes that it replaces, and a one-line description."""

    node: str
    operator: str
    consumed: tuple[str, ...]
    description: str


@dataclass
class Recognition:
    """The state of one run over a graph. ``nodes`` are the new nodes; ``refused`` has reasons by node name."""

    graph: Any
    taken: set[str]
    views: dict[str, View] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)
    found: list[LocalOperator] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """The first reason to leave its windows, by window operator."""

    def __post_init__(self) -> None:
        self.sizes = Sizes(self.graph)
        self.outputs = {tensor.name for tensor in self.graph.outputs}

    def view(self, tensor: Any) -> View | None:
        """The view of a value; None if nothing is known of it."""
        return self.views.get(tensor.name)

    def left(self, window: Window, reason: str) -> None:
        """Record why windows stay; the first reason, which is closest to the windows, is kept."""
        for name in window.nodes:
            self.reasons.setdefault(name, reason)

    def arrange(self, node: Any) -> Arrange:
        """A builder whose nodes are named after ``node``."""
        return Arrange(GraphBuilder(node, self.taken, self.graph.opset), self.sizes)

    def keep(self, arrange: Arrange) -> None:
        """Add helper nodes that replace no node."""
        self.nodes += arrange.emit.nodes

    def replace(self, node: Any, arrange: Arrange, result: Value) -> None:
        """Let ``result`` be the output of ``node``."""
        arrange.emit.finish(result)
        self.nodes += arrange.emit.nodes

    def used_elsewhere(self, tensors: Iterable[Any]) -> str | None:
        """The name of the first value that is a graph output or has more than one use."""
        return next((t.name for t in tensors if t.name in self.outputs or len(t.outputs) != 1), None)
