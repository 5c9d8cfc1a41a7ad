"""Write branches that a Concat joins, or that a sum adds, as one."""

from dataclasses import dataclass
from typing import Any

from ..graph.builder import Dim, GraphBuilder, Value
from ..graph.shapes import constant, length
from ..graph.size import ONE
from .branches import MOVES, Branches, BranchOperator, TapLeaf, Tree
from .grid import TapGrid
from .lifted import Writer
from .rule import Match
from .windows import Lifted, operators

FEWEST = 3
"""The fewest branches that are worth a window operator: halves of an axis are everywhere."""


@dataclass(frozen=True)
class Joined:
    """Branches with one tree, and the grids of their taps. The first grid with windows gives the order."""

    tree: Tree
    grids: tuple[TapGrid, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """The place of each branch among the taps, row-major."""
        return next(grid for grid in self.grids if grid.windows).order

    @property
    def ops(self) -> tuple[str, ...]:
        """The domain operators that the branches become."""
        return tuple(op for grid in self.grids for op in operators(grid))

    @property
    def computes(self) -> bool:
        """Whether a branch does arithmetic and does not only move values."""
        tree = self.tree
        while isinstance(tree, BranchOperator) and tree.node.op in MOVES | {"Identity"}:
            tree = tree.inputs[0]
        return not isinstance(tree, TapLeaf)


def find(branches: tuple[Any, ...]) -> Joined | str | None:
    """The tree of the branches; None if they are not windows, a reason if they only look like windows."""
    if len(branches) < FEWEST:
        return None
    search = Branches()
    tree = search.find(branches)
    if tree is None:
        return search.reason
    if not any(grid.overlaps for grid in search.grids):
        return None
    return Joined(tree, tuple(search.grids))


def concat(emit: GraphBuilder, match: Match[Joined]) -> Value:
    """Write a Concat of branches: the taps go in front of its axis and are merged with it."""
    node, joined = match.node, match.data
    writer = Writer(emit, joined.order)
    axis = node.attrs["axis"] % len(node.outputs[0].shape)
    if (inner := stacked(joined.tree, axis)) is not None:
        return writer.move(_in_order_of_branches(emit, writer.write(inner), joined.order), axis).value
    x = _in_order_of_branches(emit, writer.write(joined.tree), joined.order)
    if length(node.inputs[0], axis) == ONE:
        if x.at == axis + 1:
            return emit.squeeze(x.value, [axis])
        return emit.squeeze(writer.move(x, axis).value, [axis + 1])
    x = writer.move(x, axis)
    return emit.reshape(x.value, _merged(emit, node, x, axis))


def stacked(tree: Tree, axis: int) -> Tree | None:
    """The stacked tree, if each branch ends with an Unsqueeze of the axis along which the branches are joined."""
    if not isinstance(tree, BranchOperator) or tree.node.op != "Unsqueeze":
        return None
    axes = constant(tree.node.inputs[1])
    return tree.inputs[0] if axes is not None and [int(a) % tree.rank for a in axes.reshape(-1)] == [axis] else None


def _in_order_of_branches(emit: GraphBuilder, x: Lifted, order: tuple[int, ...]) -> Lifted:
    if list(order) == sorted(order):
        return x
    return Lifted(emit.op("Gather", x.value, emit.ints(order), axis=x.at), x.rank, x.at)


def _merged(emit: GraphBuilder, node: Any, x: Lifted, axis: int) -> list[Dim]:
    """The shape of the Concat's output for a Reshape of (…, taps, part, …); the axes in front are copied."""
    sizes: list[Dim] = [0] * axis
    known = [length(node.outputs[0], i) for i in range(axis, x.rank)]
    numbers = [None if size is None else size.value for size in known]
    free = numbers.count(None)
    for i, size in enumerate(numbers, axis):
        if size is not None:
            sizes.append(size)
        elif free == 1:
            sizes.append(-1)
        elif i == axis:
            sizes.append(emit.mul(emit.dim(x.value, axis), emit.dim(x.value, axis + 1)))
        else:
            sizes.append(emit.dim(x.value, i + 1))
    return sizes
