"""Which PyTorch module a node of any stage's graph came from, whatever took its place since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..graph.origin import Origin, Origins, origin_of
from ..lower import Applied
from ..recognise import Recognised


@dataclass
class Trail:
    """The origins of the captured nodes, what was recognised as standing for which of them, and what was lowered how."""

    origins: Origins
    _consumed: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    _applied: dict[str, Applied] = field(default_factory=dict, repr=False)

    def recognised(self, found: Recognised) -> None:
        """Take in what recognising put in the place of which nodes."""
        self._consumed.update((entry.node, entry.consumed) for entry in found.found)

    def lowered(self, applied: Iterable[Applied]) -> None:
        """Take in which variant each domain operator got."""
        self._applied.update((entry.node, entry) for entry in applied)

    def origin(self, node: str) -> Origin | None:
        """Where a node came from; what was recognised came from the nodes that it stands for."""
        names: tuple[str, ...] = (node,)
        prefix = node
        while prefix:
            names += self._consumed.get(prefix, ())
            prefix = prefix.rpartition("/")[0]
        return next((o for o in (origin_of(name, self.origins) for name in names) if o is not None), None)

    def lowering(self, node: str) -> str:
        """``LocalAttention as local_attention_shifts`` for a node that a lowering has put in; else empty."""
        while node:
            if node in self._applied:
                return f"{self._applied[node].op} as {self._applied[node].lowering}"
            node = node.rpartition("/")[0]
        return ""
