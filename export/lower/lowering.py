"""What a lowering is, and what lowerings ask of the node in front of them.

Costs are counted in passes over the output's values (one read or one write of a tensor of that size is half a pass),
plus ``LAUNCH`` for each node, the fixed cost of a kernel. They only order the lowerings of one node.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.values import constant_ints, known
from ..targets import DEFAULT_CPU, Family, target_of

LAUNCH = 0.05


@dataclass(frozen=True)
class Where:
    """What a form must be right for: the targets (names of export/targets), and the opset of the model around it.

    ``prefer`` is the target on which it should be quick.
    """

    targets: tuple[str, ...]
    opset: int
    prefer: str = DEFAULT_CPU

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
    build: Callable[[GraphBuilder, Any], Value]
    gpu_cost: Callable[[Any], float] | None = None
    standard: bool = False

    def cost_on(self, node: Any, target: str) -> float:
        """The estimate for the target that the model should be quick on."""
        estimate = self.gpu_cost if self.gpu_cost is not None and target_of(target).gpu else self.cost
        return estimate(node)


def length_asked_for(emit: GraphBuilder, node: Any, axis: int, entry: int) -> Dim:
    """The length of an axis of the output: a number where it is known, else an ``entry`` of the node's second input."""
    size = node.inputs[1]
    constant = constant_ints(size)
    length = known(node.outputs[0], axis) if constant is None else constant[entry]
    return length if length is not None else emit.slice(size, [entry], [entry + 1], [0])


def note_opt_shapes(tensors: Iterable[Value], shapes: Mapping[str, Sequence[int]]) -> None:
    """Keep with each tensor the shape that it has at the optimum of every axis, for estimates."""
    for tensor in tensors:
        if tensor.name in shapes:
            tensor.opt_shape = list(shapes[tensor.name])


def opt_shape(value: Value) -> list[int] | None:
    """The shape at the optimum, where it was noted."""
    shape: list[int] | None = getattr(value, "opt_shape", None)
    return shape
