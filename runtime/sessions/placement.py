"""Which provider runs which node: ONNX Runtime itself says, and a GPU session that leaves nodes to the CPU is told so.

Without it, a model that half runs on the CPU looks like a slow GPU (GridSample did, onnxruntime#20191).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .providers import CPU

RECORD = ("session.record_ep_graph_assignment_info", "1")
"""The session option that has ONNX Runtime (1.24 on) keep its assignment."""


@dataclass(frozen=True)
class Placement:
    """``nodes``: by provider, how many nodes of each operator it runs. A subgraph that TensorRT compiles counts by its nodes."""

    nodes: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, session: Any) -> Placement | None:
        """What a session of ONNX Runtime says, None where it does not know."""
        ask = getattr(session, "get_provider_graph_assignment_info", None)
        if ask is None:
            return None
        return cls.count((part.ep_name, node.op_type) for part in ask() for node in part.get_nodes())

    @classmethod
    def count(cls, assigned: Iterable[tuple[str, str]]) -> Placement:
        """From ``(provider, operator)`` of every node."""
        nodes: dict[str, Counter[str]] = {}
        for provider, operator in assigned:
            nodes.setdefault(provider, Counter())[operator] += 1
        return cls({provider: dict(counts.most_common()) for provider, counts in nodes.items()})

    def total(self, provider: str) -> int:
        """How many nodes a provider runs."""
        return sum(self.nodes.get(provider, {}).values())

    def describe(self) -> str:
        """``CUDA 218, CPU 22``."""
        return ", ".join(f"{name.removesuffix('ExecutionProvider')} {self.total(name)}" for name in self.nodes)

    def on_cpu(self) -> str:
        """What a GPU session leaves to the CPU, in words; empty where that is nothing."""
        left = self.nodes.get(CPU, {})
        if not left:
            return ""
        shown = [f"{operator} ({count})" if count > 1 else operator for operator, count in left.items()]
        more = f" and {len(shown) - 6} operators more" if len(shown) > 6 else ""
        every = sum(self.total(name) for name in self.nodes)
        return f"{self.total(CPU)} of {every} nodes run on the CPU: {', '.join(shown[:6])}{more}"
