"""Write a tree of branches once, with an axis for the taps: the operators of one branch, on the tensors of all branches.

The place of the taps' axis follows the windows. It moves only if two operands have it in different places. Elementwise
operators and products broadcast over it; reductions and moves of other axes leave it in place.
"""

from string import ascii_letters
from typing import Any

import numpy as np

from ..graph.builder import GraphBuilder, Value
from ..graph.shapes import all_integers, constant, length
from ..graph.size import Size
from .branches import ELEMENTWISE, PRODUCTS, REDUCTIONS, BranchOperator, Numbers, Same, TapLeaf, Tree
from .windows import Lifted, write


class Writer:
    """Writes trees of branches whose order is ``order``: branch ``i`` is the tap ``order[i]`` of the result."""

    def __init__(self, emit: GraphBuilder, order: tuple[int, ...]) -> None:
        self.emit = emit
        self.order = order
        self._written: dict[int, Lifted] = {}

    def write(self, tree: Tree, behind: int | None = None) -> Lifted:
        """The tensor of all taps. ``behind`` asks for that many axes behind the taps, if there is a choice."""
        if id(tree) not in self._written:  # a value that a branch uses twice is written once
            self._written[id(tree)] = self._write(tree, behind)
        return self._written[id(tree)]

    def _write(self, tree: Tree, behind: int | None) -> Lifted:
        if isinstance(tree, Same):
            return Lifted(tree.value, _rank(tree), None)
        if isinstance(tree, Numbers):
            return self._numbers(tree, behind)
        if isinstance(tree, TapLeaf):
            return self._ordered(write(self.emit, tree.grid, behind), tree.grid.order)
        if tree.node.op in ELEMENTWISE:
            return self._elementwise(tree, behind)
        if tree.node.op in PRODUCTS:
            return self._product(tree)
        return self._moved(tree, behind)

    def move(self, x: Lifted, at: int) -> Lifted:
        """Move the axis of taps in front of the axis ``at``."""
        if x.at is None or x.at == at:
            return x
        perm = [axis for axis in range(x.rank + 1) if axis != x.at]
        perm.insert(at, x.at)
        return Lifted(self.emit.transpose(x.value, perm), x.rank, at)

    def _ordered(self, x: Lifted, order: tuple[int, ...]) -> Lifted:
        """Bring the taps of a grid into the order of the branches."""
        index = [0] * len(order)
        for mine, wanted in zip(order, self.order, strict=True):
            index[wanted] = mine
        if index == sorted(index):
            return x
        return Lifted(self.emit.op("Gather", x.value, self.emit.ints(index), axis=x.at), x.rank, x.at)

    def _numbers(self, tree: Numbers, behind: int | None) -> Lifted:
        values = sorted(range(len(tree.values)), key=lambda i: self.order[i])
        rank = tree.values[0].ndim
        at = max(rank - behind, 0) if behind is not None else 0
        stacked = np.stack([tree.values[i] for i in values], axis=at)
        return Lifted(self.emit.constant(stacked, stacked.dtype), rank, at)

    def _elementwise(self, tree: BranchOperator, behind: int | None) -> Lifted:
        leading: list[Tree] = [t for t in tree.inputs if isinstance(t, TapLeaf) and t.grid.windows]
        leading += [t for t in tree.inputs if isinstance(t, BranchOperator)]
        first = leading[0] if leading else None
        written = {id(first): self.write(first, behind)} if first is not None else {}
        if first is not None:
            behind = written[id(first)].behind
        inputs = [written.get(id(t)) or self.write(t, behind) for t in tree.inputs]
        if behind is None:
            behind = next(x.behind for x in inputs if x.at is not None)
        values = [self._aligned(x, behind) for x in inputs]
        return self._same_operator(tree.node, values, tree.rank, tree.rank - behind)

    def _aligned(self, x: Lifted, behind: int) -> Value:
        """Shape x so that broadcasting puts the taps in front of the last ``behind`` axes."""
        if x.at is None:
            return x.value if x.rank <= behind else self.emit.unsqueeze(x.value, [x.rank - behind])
        if x.rank >= behind:
            return self.move(x, x.rank - behind).value
        return self.emit.unsqueeze(self.move(x, 0).value, list(range(1, 1 + behind - x.rank)))

    def _product(self, tree: BranchOperator) -> Lifted:
        inputs = [self.move(self.write(t), 0) for t in tree.inputs]
        if tree.node.op == "MatMul":
            return self._same_operator(tree.node, [self._aligned(x, tree.rank) for x in inputs], tree.rank, 0)
        letter = next(c for c in ascii_letters if c not in tree.node.attrs["equation"])
        terms, result = tree.node.attrs["equation"].replace(" ", "").split("->")
        terms = [("" if x.at is None else letter) + t for x, t in zip(inputs, terms.split(","), strict=True)]
        equation = f"{','.join(terms)}->{letter}{result}"
        value = self.emit.op("Einsum", *(x.value for x in inputs), equation=equation)
        return Lifted(value, tree.rank, 0)

    def _moved(self, tree: BranchOperator, behind: int | None) -> Lifted:
        node, x = tree.node, self.write(tree.inputs[0], behind if tree.rank == _rank(tree.inputs[0]) else None)
        assert x.at is not None
        if node.op == "Transpose":
            perm = node.attrs.get("perm") or list(range(x.rank))[::-1]
            at = perm.index(x.at) if x.at < x.rank else x.rank
            moved = [p if p < x.at else p + 1 for p in perm]
            moved.insert(at, x.at)
            return Lifted(self.emit.transpose(x.value, moved), tree.rank, at)
        if node.op == "Reshape":
            return self._reshaped(tree, x)
        axes = [int(a) for a in np.asarray(constant(node.inputs[1])).reshape(-1)]
        if node.op == "Unsqueeze":
            new = sorted(a % tree.rank for a in axes)
            old = [axis for axis in range(tree.rank) if axis not in new]
            at = old[x.at] if x.at < x.rank else tree.rank
            return Lifted(self.emit.unsqueeze(x.value, [a if a < at else a + 1 for a in new]), tree.rank, at)
        gone = sorted(a % x.rank for a in axes) or list(range(x.rank))
        lifted = self.emit.ints([a if a < x.at else a + 1 for a in gone])
        keeps = node.op in REDUCTIONS and bool(node.attrs.get("keepdims", 1))
        at = x.at if keeps else x.at - sum(a < x.at for a in gone)
        options: dict[str, Any] = {"keepdims": int(keeps)} if node.op in REDUCTIONS else {}
        value = self.emit.op(node.op, x.value, lifted, **options)
        return Lifted(value, tree.rank, at)

    def _reshaped(self, tree: BranchOperator, x: Lifted) -> Lifted:
        """Write a Reshape. Axes at the end that it keeps stay behind the taps; otherwise the taps move to the front."""
        assert x.at is not None
        after, shape = tree.node.outputs[0], tree.node.inputs[1]
        asked = all_integers(shape) or [Size.number(-1)] * tree.rank
        sizes = [length(after, i) if s.value is not None and s.value < 1 else s for i, s in enumerate(asked)]
        kept = x.behind <= tree.rank and all(
            (size := _length(tree, x.rank - i)) is not None and size == sizes[tree.rank - i]
            for i in range(1, x.behind + 1)
        )
        copies = [i for i, size in enumerate(asked) if size.value == 0]
        at = tree.rank - x.behind if kept else 0
        if not kept or any((i < x.at) != (i < at) for i in copies):
            x, at = self.move(x, 0), 0
        assert x.at is not None
        wanted = self._with_taps(shape, at, tree.rank)
        allow: dict[str, Any] = {"allowzero": 1} if tree.node.attrs.get("allowzero") else {}
        return Lifted(self.emit.op("Reshape", x.value, wanted, **allow), tree.rank, at)

    def _with_taps(self, shape: Value, at: int, rank: int) -> Value:
        """The sizes of a shape with the number of taps inserted at ``at``."""
        sizes, taps = constant(shape), len(self.order)
        if sizes is not None:
            return self.emit.ints([*map(int, sizes[:at]), taps, *map(int, sizes[at:])])
        parts = [self.emit.ints([taps])]
        if at > 0:
            parts.insert(0, self.emit.slice(shape, [0], [at], [0]))
        if at < rank:
            parts.append(self.emit.slice(shape, [at], [rank], [0]))
        return self.emit.concat(parts, axis=0)

    def _same_operator(self, node: Any, values: list[Value], rank: int, at: int) -> Lifted:
        value = self.emit.op(node.op, *values, dtype=node.outputs[0].dtype, **node.attrs)
        return Lifted(value, rank, at)


def _length(tree: BranchOperator, axis: int) -> Size | None:
    """The length of an axis of a branch before its last operator."""
    (inner, *_) = tree.inputs
    if isinstance(inner, TapLeaf):
        return inner.grid.first.parts[inner.grid.first.kept[axis]].count
    return length(tree.node.inputs[0], axis)


def _rank(tree: Tree) -> int:
    if isinstance(tree, Same):
        return len(tree.value.shape)
    if isinstance(tree, Numbers):
        return tree.values[0].ndim
    return tree.rank
