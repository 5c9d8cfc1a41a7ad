"""What a lowering is, and what lowerings ask of the node in front of them.

Costs are counted in passes over the output's values (one read or one write of a tensor of that size is half a pass),
plus ``LAUNCH`` for each node, which stands for a kernel's fixed cost. They only order the lowerings of one node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from ..graph.builder import Emit, Value
from ..targets import Family, target_of

LAUNCH = 0.05


@dataclass(frozen=True)
class Where:
    """What a form must be right for: the targets (names of export/targets), and the opset of the model around it.

    ``prefer`` is the target on which it should be quick.
    """

    targets: tuple[str, ...]
    opset: int
    prefer: str = "ort-cpu"

    def family(self, name: Family) -> tuple[str, ...]:
        """The targets of a family: ``if where.family("tensorrt"): ...``."""
        return tuple(target for target in self.targets if target_of(target).family == name)


@dataclass(frozen=True)
class Lowering:
    """One way to write a domain operator in standard operators; or, where ``standard``, an operator of ONNX in others, which stays where
    this refuses.

    ``refuse(node, where)`` gives the reason why it would be wrong here, or None; ``cost(node)`` orders those that
    are right; ``build(emit, node)`` writes the nodes and returns the value that takes the output's place. Where a
    GPU orders the forms differently, ``gpu_cost`` takes the place of ``cost`` there.
    """

    name: str
    op: str
    refuse: Callable[[Any, Where], str | None]
    cost: Callable[[Any], float]
    build: Callable[[Emit, Any], Value]
    gpu_cost: Callable[[Any], float] | None = None
    standard: bool = False

    def cost_on(self, node: Any, target: str) -> float:
        """The estimate for the target that the model should be quick on."""
        estimate = self.gpu_cost if self.gpu_cost is not None and target != "ort-cpu" else self.cost
        return estimate(node)


def rank_refusal(value: Value, rank: int, what: str) -> str | None:
    """The reason to refuse a value whose rank is not known or is another."""
    if value.shape is None:
        return f"the rank of {what} is not known"
    if len(value.shape) != rank:
        return f"{what} has {len(value.shape)} axes, not {rank}"
    return None


def known(value: Value, axis: int) -> int | None:
    """The length of an axis where it is a number."""
    size = value.shape[axis] if value.shape is not None else None
    return size if isinstance(size, int) else None


def constant_values(value: Value | None) -> npt.NDArray[Any] | None:
    """The array of a constant tensor; None when it is computed or, as an optional input, absent."""
    if value is None:
        return None
    if isinstance(value, gs.Constant):
        return np.asarray(value.values)
    producer = value.inputs[0] if value.inputs else None
    if producer is not None and producer.op == "Constant" and "value" in producer.attrs:
        return np.asarray(producer.attrs["value"].values)
    return None


def note_usual_shapes(tensors: Iterable[Value], shapes: Mapping[str, Sequence[int]]) -> None:
    """Keep with each tensor the shape that it has at the optimum of every axis, for estimates."""
    for tensor in tensors:
        if tensor.name in shapes:
            tensor.usual_shape = list(shapes[tensor.name])


def usual_shape(value: Value) -> list[int] | None:
    """The shape at the optimum, where it was noted."""
    shape: list[int] | None = getattr(value, "usual_shape", None)
    return shape


def constant_ints(value: Value) -> list[int] | None:
    """The numbers of a constant integer tensor; None when it is computed."""
    values = constant_values(value)
    return None if values is None else [int(number) for number in values.reshape(-1)]
