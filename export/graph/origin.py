"""The origin of a node: the PyTorch module and the source line that created it.

Node names carry the origin through every later stage: capture names each node ``<module path>/<op>[_n]``, and a lowering names
the nodes that replace ``node`` as ``<node>/<part>``. So the longest known prefix of a node, TensorRT layer or parser error
leads back to its origin.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Module path (``layer1.0.attn``), its class, and ``file:line`` of the innermost user code."""

    module: str
    kind: str
    source: str

    def describe(self) -> str:
        """``module 'layer1.0.attn' (SpatialGate) at models/attention/cbam.py:41``."""
        where = f" at {self.source}" if self.source else ""
        return f"module {self.module or '<root>'!r} ({self.kind}){where}"


Origins = dict[str, Origin]


def origin_of(name: str, origins: Mapping[str, Origin]) -> Origin | None:
    """The origin of a node, or of the longest known prefix of its name (cut at ``/``)."""
    while name:
        if name in origins:
            return origins[name]
        name = name.rpartition("/")[0]
    return None
