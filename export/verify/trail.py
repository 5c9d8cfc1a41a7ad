"""Trace a node of any stage's graph back to its PyTorch module, through all rewrites."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..graph.origin import Origin, Origins, origin_of
from ..lower import Applied
from ..recognise import Recognised


@dataclass
class Trail:
    """The origins of the captured nodes, the nodes that recognised operators replace, and the lowerings."""

    origins: Origins
    _consumed: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _applied: dict[str, Applied] = field(default_factory=dict, repr=False)

    def recognised(self, result: Recognised) -> None:
        """Add the operators that replace captured nodes."""
        self._consumed.update((entry.node, entry.consumed) for entry in result.found)

    def lowered(self, applied: Iterable[Applied]) -> None:
        """Add the lowering of each domain operator."""
        self._applied.update((entry.node, entry) for entry in applied)

    def origin(self, node: str) -> Origin | None:
        """Return the origin of a node; for a recognised operator, that of the nodes it replaces."""
        names: tuple[str, ...] = (node,)
        prefix = node
        while prefix:
            names += self._consumed.get(prefix, ())
            prefix = prefix.rpartition("/")[0]
        return next((o for o in (origin_of(name, self.origins) for name in names) if o is not None), None)

    def lowering(self, node: str) -> str:
        """``LocalAttention as local_attention_shifts`` for a node that a lowering added, else an empty string."""
        while node:
            if node in self._applied:
                return f"{self._applied[node].op} as {self._applied[node].lowering}"
            node = node.rpartition("/")[0]
        return ""
