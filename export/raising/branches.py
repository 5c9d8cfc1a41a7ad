"""Find branches that differ only in the tap that they take: a tree of their shared operators, with the differences as leaves.

    q * k[.., 0:H], q * k[.., 1:H+1], q * k[.., 2:H+2]   ->   Same(q) * TapLeaf(k, 3 taps)

A leaf is the same tensor in every branch, the parts of one tensor (a grid of windows or of entries), or constants. The
operators act on each branch separately, wherever an axis for the branches is added (see lifted.py). Nothing is written here.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..graph.shapes import constant, producer
from .grid import TapGrid, read_grid
from .windows import refuse

ELEMENTWISE = {
    "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where", "Neg", "Abs", "Exp", "Sqrt", "Cast", "Identity",
}  # fmt: skip
REDUCTIONS = {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceL1", "ReduceL2", "ReduceSumSquare"}
MOVES = {"Unsqueeze", "Squeeze", "Transpose", "Reshape"}
PRODUCTS = {"MatMul", "Einsum"}

LIMIT = 48
"""The most tensors of one branch: a shifted branch has only the arithmetic of a tap."""
SMALL = 4096
"""Constants of more values are distinguished by name only."""


@dataclass(frozen=True)
class Same:
    """One tensor in every branch."""

    value: Any


@dataclass(frozen=True)
class TapLeaf:
    """Each branch takes another tap of one tensor."""

    grid: TapGrid
    rank: int


@dataclass(frozen=True)
class Numbers:
    """Another constant in each branch, all of one shape."""

    values: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class BranchOperator:
    """The same operator in every branch. ``node`` is the first branch's, ``rank`` the rank of its output in one branch."""

    node: Any
    inputs: "tuple[Tree, ...]"
    rank: int


Tree = Same | TapLeaf | Numbers | BranchOperator


@dataclass
class Branches:
    """The search for the tree of some branches. ``grids`` are in the order of the tree; ``reason`` says why there is no tree."""

    grids: list[TapGrid] = field(default_factory=list)
    reason: str | None = None
    seen: dict[tuple[int, ...], Tree | None] = field(default_factory=dict)

    def find(self, tensors: tuple[Any, ...]) -> Tree | None:
        """The tree of these tensors, one of each branch; None if they are computed differently."""
        key = tuple(id(t) for t in tensors)
        if key not in self.seen:
            if len(self.seen) >= LIMIT:
                return None
            self.seen[key] = None
            self.seen[key] = self._find(tensors)
        return self.seen[key]

    def _find(self, tensors: tuple[Any, ...]) -> Tree | None:
        first = tensors[0]
        if all(t is first for t in tensors):
            return Same(first)
        if any(constant(t) is not None for t in tensors):
            return _constants(tensors)
        nodes = [producer(t) for t in tensors]
        if any(n is None or n.op != nodes[0].op or n.domain != nodes[0].domain for n in nodes):
            return None
        grid = read_grid(tensors)
        if isinstance(grid, TapGrid):
            problem = refuse(grid)
            if problem is None:
                self.grids.append(grid)
                return TapLeaf(grid, len(grid.first.kept))
            grid = problem
        if isinstance(grid, str):
            self.reason = self.reason or grid
            return None
        return self._step(tensors, nodes)

    def _step(self, tensors: tuple[Any, ...], nodes: list[Any]) -> Tree | None:
        first = nodes[0]
        if first.op not in ELEMENTWISE | REDUCTIONS | MOVES | PRODUCTS or first.domain not in (None, "", "ai.onnx"):
            return None
        if any(n.attrs != first.attrs or len(n.inputs) != len(first.inputs) for n in nodes):
            return None
        if tensors[0].shape is None or any(len(t.shape or ()) != len(tensors[0].shape) for t in tensors):
            return None
        inputs: list[Tree] = []
        for operands in zip(*(n.inputs for n in nodes), strict=True):
            if (found := self.find(operands)) is None:
                return None
            inputs.append(found)
        if all(isinstance(entry, Same) for entry in inputs):
            return Same(tensors[0])
        if any(isinstance(entry, Same) and entry.value.shape is None for entry in inputs):
            return None
        # Axes and shapes must be the same in every branch.
        if first.op not in ELEMENTWISE | PRODUCTS and not all(isinstance(entry, Same) for entry in inputs[1:]):
            return None
        if first.op in REDUCTIONS | {"Unsqueeze", "Squeeze"} and not _has_axes(first):
            return None
        if first.op == "Einsum" and ("->" not in first.attrs["equation"] or "." in first.attrs["equation"]):
            return None
        return BranchOperator(first, tuple(inputs), len(tensors[0].shape))


def _has_axes(node: Any) -> bool:
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return axes is not None and axes.size > 0


def _constants(tensors: tuple[Any, ...]) -> Tree | None:
    values = [constant(t) for t in tensors]
    first = values[0]
    if first is None or first.size > SMALL:
        return None
    known = [v for v in values if v is not None and v.shape == first.shape and v.dtype == first.dtype]
    if len(known) < len(tensors):
        return None
    if all(np.array_equal(v, first) for v in known):
        return Same(tensors[0])
    return Numbers(tuple(known))
