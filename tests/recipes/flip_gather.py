"""Flip as one Gather by constant numbers; refused for an axis of free length."""

from __future__ import annotations

from typing import Any

from attnexport.export.graph.builder import GraphBuilder, Value
from attnexport.export.graph.values import known
from attnexport.export.lower.lowering import LAUNCH, Lowering, Where


def _refuse(node: Any, where: Where) -> str | None:
    return "the length of the axis is free" if known(node.inputs[0], node.attrs["axis"]) is None else None


def _cost(node: Any) -> float:
    return 3.0 + LAUNCH


def _build(builder: GraphBuilder, node: Any) -> Value:
    axis = node.attrs["axis"]
    numbers = builder.ints(range(known(node.inputs[0], axis) - 1, -1, -1))
    return builder.op("Gather", node.inputs[0], numbers, axis=axis)


LOWERING = Lowering("flip_gather", "Flip", _refuse, _cost, _build)
