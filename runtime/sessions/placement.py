"""The provider of each node, as ONNX Runtime reports it, with a message if a GPU session leaves nodes to the CPU.

Without it, a model that runs half on the CPU looks like a slow GPU (GridSample did,
onnxruntime#20191).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .providers import CPU

RECORD = ("session.record_ep_graph_assignment_info", "1")
"""The session option that makes ONNX Runtime (from 1.24) keep its assignment."""


@dataclass(frozen=True)
class Placement:
    """``nodes``: for each provider, the number of nodes of each operator. Nodes in a subgraph of TensorRT are counted too."""

    nodes: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, session: Any) -> Placement | None:
        """Ask a session of ONNX Runtime; None if its version cannot answer."""
        ask = getattr(session, "get_provider_graph_assignment_info", None)
        if ask is None:
            return None
        return cls.count((part.ep_name, node.op_type) for part in ask() for node in part.get_nodes())

    @classmethod
    def count(cls, assigned: Iterable[tuple[str, str]]) -> Placement:
        """Count ``(provider, operator)`` of every node."""
        nodes: dict[str, Counter[str]] = {}
        for provider, operator in assigned:
            nodes.setdefault(provider, Counter())[operator] += 1
        return cls({provider: dict(counts.most_common()) for provider, counts in nodes.items()})

    def total(self, provider: str) -> int:
        """The number of nodes of a provider."""
        return sum(self.nodes.get(provider, {}).values())

    def describe(self) -> str:
        """``CUDA 218, CPU 22``."""
        return ", ".join(f"{name.removesuffix('ExecutionProvider')} {self.total(name)}" for name in self.nodes)

    def on_cpu(self) -> str:
        """The operators that a GPU session leaves to the CPU, in words; empty if none."""
        left = self.nodes.get(CPU, {})
        if not left:
            return ""
        shown = [f"{operator} ({count})" if count > 1 else operator for operator, count in left.items()]
        more = f" and {len(shown) - 6} operators more" if len(shown) > 6 else ""
        every = sum(self.total(name) for name in self.nodes)
        return f"{self.total(CPU)} of {every} nodes run on the CPU: {', '.join(shown[:6])}{more}"
