"""Flip as one Slice with step -1; every length of the axis."""

from __future__ import annotations

from typing import Any

from attnexport.export.graph.builder import GraphBuilder, Value
from attnexport.export.lower.lowering import LAUNCH, Lowering, Where


def _refuse(node: Any, where: Where) -> str | None:
    return "ranks above 4 are slow" if len(node.inputs[0].shape) > 4 else None


def _cost(node: Any) -> float:
    return 1.0 + LAUNCH


def _build(builder: GraphBuilder, node: Any) -> Value:
    return builder.slice(node.inputs[0], [-1], [-(2**62)], [node.attrs["axis"]], [-1])


LOWERING = Lowering("flip_slice", "Flip", _refuse, _cost, _build)
