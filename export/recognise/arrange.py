"""Rearrange axes in the graph: from the dimensions of a tensor to those of an operand."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..graph.builder import Dim as GraphDim
from ..graph.builder import GraphBuilder, Value
from ..graph.shapes import sizes_of
from ..graph.size import ONE, Factor, Floor, Size
from .layout import Atom, Dims, flat, length
from .windows import WindowSource


class Unwritable(Exception):
    """An operator cannot be written: it is refused, no tensor of the graph has a length, or axes do not line up."""


class Sizes:
    """Lengths as graph values: the tensor and axis that have each free size."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._places: dict[Factor, tuple[Value, int]] | None = None

    def dim(self, emit: GraphBuilder, size: Size) -> GraphDim:
        """The length as an int, or as an int64[1] value computed from shapes."""
        if size.value is not None:
            return size.value
        total: GraphDim = 0
        for monomial, count in size.terms:
            term: GraphDim = count
            for factor in monomial:
                term = emit.mul(self._factor(emit, factor), term)
            total = emit.add(term, total)
        return total

    def _factor(self, emit: GraphBuilder, factor: Factor) -> GraphDim:
        if isinstance(factor, Floor):
            return emit.floordiv(self.dim(emit, factor.size), factor.divisor)
        if factor not in self._found():
            raise Unwritable(f"no tensor tells the length {factor}")
        tensor, axis = self._found()[factor]
        return emit.dim(tensor, axis)

    def _found(self) -> Mapping[Factor, tuple[Value, int]]:
        if self._places is None:
            self._places = {}
            tensors = [*self._graph.inputs, *(tensor for node in self._graph.nodes for tensor in node.outputs)]
            for tensor in tensors:
                for axis, size in enumerate(sizes_of(tensor) or ()):
                    if size.value is None and size == Size.symbol(size.terms[0][0][0]):
                        self._places.setdefault(size.terms[0][0][0], (tensor, axis))
        return self._places


class Arrange:
    """Write the layout operators around one domain operator."""

    def __init__(self, emit: GraphBuilder, sizes: Sizes) -> None:
        self.emit = emit
        self._sizes = sizes

    def reshape(self, x: Value, have: Sequence[Size], want: Sequence[Size]) -> Value:
        """Reshape x from the lengths ``have`` to ``want``; x itself if they are equal."""
        if list(have) == list(want):
            return x
        entries: list[GraphDim | None] = [
            size.value if size.value is not None else 0 if axis < len(have) and have[axis] == size else None
            for axis, size in enumerate(want)
        ]
        computed = [axis for axis, entry in enumerate(entries) if entry is None]
        if computed:
            # One length may be inferred: the one that costs most to compute.
            spared = max(computed, key=lambda axis: len(str(want[axis])))
            entries[spared] = -1
        dims = [
            self._sizes.dim(self.emit, want[axis]) if entry is None else entry for axis, entry in enumerate(entries)
        ]
        return self._shaped(self.emit.reshape(x, dims), want)

    def expand(self, x: Value, want: Sequence[Size]) -> Value:
        """Repeat x to the lengths ``want``."""
        dims = [self._sizes.dim(self.emit, size) for size in want]
        return self._shaped(self.emit.op("Expand", x, self.emit.vector(dims)), want)

    def arrange(self, x: Value, have: Dims, want: Dims, full: Sequence[bool] | None = None) -> Value:
        """Bring x from the dimensions ``have`` to ``want``: split, transpose, merge.

        If x has no atom of a dimension, the result has length 1 there, or is repeated if ``full`` says so. If x has a part of
        its atoms, it is repeated along the rest.
        """
        mine = flat(have)
        full = full if full is not None else [True] * len(want)
        order = [atom for atom in flat(want) if atom in mine]
        if len(order) != len(mine) or set(order) != set(mine):
            raise Unwritable(f"{x.name} has an axis that the operator does not have")
        now = [length(dim) for dim in have]
        if order != list(mine):
            x = self.reshape(x, now, [atom.length for atom in mine])
            x = self._shaped(
                self.emit.transpose(x, [mine.index(atom) for atom in order]), [atom.length for atom in order]
            )
            now = [atom.length for atom in order]
        missing = [
            bool(dim) and not set(dim) <= set(order) and (whole or bool(set(dim) & set(order)))
            for dim, whole in zip(want, full, strict=True)
        ]
        if any(missing):
            atoms: list[tuple[Atom, bool]] = [
                (atom, lacks)
                for dim, lacks in zip(want, missing, strict=True)
                for atom in dim
                if lacks or atom in order
            ]
            x = self.reshape(x, now, [atom.length if atom in order else ONE for atom, _ in atoms])
            now = [atom.length for atom, _ in atoms]
            x = self.expand(x, now)
        present = [
            length(dim) if lacks else length(atom for atom in dim if atom in order)
            for dim, lacks in zip(want, missing, strict=True)
        ]
        return self.reshape(x, now, present)

    def source(self, source: WindowSource) -> Value:
        """The tensor after its cuts."""
        x = source.tensor
        now = sizes_of(x) or ()
        for cut in source.cuts:
            x = self.reshape(x, now, cut.sizes)
            now = tuple(Size.number(cut.stop - cut.start) if a == cut.axis else s for a, s in enumerate(cut.sizes))
            x = self._shaped(self.emit.slice(x, [cut.start], [cut.stop], [cut.axis]), now)
        return x

    def _shaped(self, x: Value, sizes: Sequence[Size]) -> Value:
        x.shape = [size.entry for size in sizes]
        return x
