"""Operands of the Local operators in their canonical order: (N, H, D, *space), (N, H, K, *positions), (H, D, K)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_graphsurgeon as gs

from ..domain import DOMAIN
from ..graph.builder import TO_END, Value
from ..graph.size import ONE, Size
from .arrange import Arrange, Unwritable
from .layout import FOREIGN, OUTER, PLACE, POSITION, REPEATED, Atom, Dim, Dims, flat, length, pieces, whole
from .windows import Slide, Term, Window, Windowed

SPACE = "space"
"""A space axis of the source, under its number among the space axes."""
_APART = "an axis of the windows was taken apart"


@dataclass(frozen=True)
class WindowedParts:
    """The atoms of a windowed value by role: whole axes in order, whatever pieces a view has split them into."""

    outer: Dim
    places: Dim
    positions: Dims
    source: Dims
    """The dimensions of the source tensor; a space axis is one atom."""


def parts(value: Windowed) -> WindowedParts:
    """The parts of a windowed value. Raises Unwritable if a view has split an axis whose pieces are not all present."""
    window, source = value.window, []
    outer: list[Atom] = []
    for axis, size in enumerate(window.source.sizes):
        if axis in window.axes:
            source.append(whole(SPACE, window.axes.index(axis), size))
            continue
        found = _pieces(value.dims, OUTER, axis)
        if length(found) != size:
            raise Unwritable(_APART)
        source.append(found)
        outer += found
    places, positions = (tuple(_pieces(value.dims, role, axis) for axis in window.axes) for role in (PLACE, POSITION))
    return WindowedParts(tuple(outer), flat(places), positions, tuple(source))


def _pieces(dims: Dims, role: str, axis: int) -> Dim:
    if (found := pieces(dims, role, axis)) is None:
        raise Unwritable(_APART)
    return found


@dataclass(frozen=True)
class Heads:
    """The atoms that query (or weights) and windows share, as two dimensions: batch and heads."""

    batch: Dim
    heads: Dim


def divide(shared: Iterable[Atom], batch_axis: int | None, relative: Sequence[Term], bias: Sequence[Term]) -> Heads:
    """Divide shared atoms: those of the source's first axis are the batch, the others heads.

    A piece of the batch along which a relative term or a bias varies is a head that was folded into the batch.
    """
    atoms = list(shared)
    batch = [atom for atom in atoms if atom.role == OUTER and atom.axis == batch_axis]
    for term in relative:
        batch = [atom for atom in batch if atom not in flat(term.dims)]
    for term in bias:
        told = [atom for atom in batch if atom in flat(term.dims)]
        if told and len(told) < len(batch):
            batch = [atom for atom in batch if atom not in told]
    return Heads(tuple(batch), tuple(atom for atom in atoms if atom not in batch))


def batch_axis(window: Window) -> int | None:
    """The first axis of the source, if no window slides along it."""
    return None if 0 in window.axes else 0


def sharing(value: Windowed, other: Dims) -> list[Atom]:
    """The atoms of axes without windows: those of the source in order, then those of the other tensor only."""
    mine = list(parts(value).outer)
    repeated = [atom for atom in flat(value.dims) if atom.role == REPEATED]
    return mine + repeated + [atom for atom in flat(other) if atom.role == FOREIGN]


class Canonical:
    """Write operands with the batch and heads of ``heads``, in the type ``kind`` (None: the type of the tensors)."""

    def __init__(self, arrange: Arrange, heads: Heads, kind: Any) -> None:
        self.arrange = arrange
        self.kind = kind
        self.emit = arrange.emit
        self.heads = heads

    def over_positions(self, tensor: Value, dims: Dims, middle: Dim, positions: Dims) -> Value:
        """(N, H, ``middle``, *positions), repeated along the axes that the tensor does not have."""
        want = (self.heads.batch, self.heads.heads, middle, *positions)
        return self.arrange.arrange(self.typed(tensor), dims, want)

    def typed(self, x: Value, first: Any = None) -> Value:
        """x in the type ``kind``, cast to the type ``first`` before: narrowed values stay rounded."""
        for kind in (first, self.kind):
            if kind is not None and x.dtype is not None and np.dtype(x.dtype) != np.dtype(kind):
                shape, x = x.shape, self.emit.cast(x, kind)
                x.shape = shape
        return x

    def finished(self, y: Value, kind: Any, factor: float) -> Value:
        """The result times ``factor``, in the type of the output that it replaces."""
        if factor != 1.0:
            y = self.emit.op("Mul", y, self.emit.constant(factor, y.dtype, "factor"))
        if kind is not None and y.dtype is not None and np.dtype(y.dtype) != np.dtype(kind):
            y = self.emit.cast(y, kind)
        return y

    def over_space(self, window: Window, source: Dims, channels: Dim, slides: Sequence[Slide], kind: Any) -> Value:
        """The windows' source as (N, H, D, *S), repeated along the axes that it does not have.

        ``kind`` is the type in which the windows were multiplied. If the padding of the windows differs from that of
        ``slides``, zeros are added or values cut off.
        """
        space = tuple(dim for axis, dim in enumerate(source) if axis in window.axes)
        want = (self.heads.batch, self.heads.heads, channels, *space)
        x = self.arrange.arrange(self.typed(self.arrange.source(window.source), kind), source, want)
        extra = {
            axis: surplus(mine, common) for axis, (mine, common) in enumerate(zip(window.slides, slides, strict=True))
        }
        cut = [axis for axis, pair in extra.items() if min(pair) < 0]
        if cut:
            starts = [max(0, -extra[axis][0]) for axis in cut]
            ends = [min(0, extra[axis][1]) or TO_END for axis in cut]
            x = self.emit.slice(x, starts, ends, [3 + axis for axis in cut])
        zeros = {3 + axis: (max(0, pair[0]), max(0, pair[1])) for axis, pair in extra.items()}
        padded = self.emit.pad(x, 3 + len(slides), zeros)
        if cut or padded is not x:
            padded.shape = [size.entry for size in (*map(length, want[:3]), *space_after(window, slides))]
        return padded

    def relative(self, terms: Sequence[Term], channels: Dim, places: Dim) -> Value | None:
        """The sum of relative terms as (H or 1, D, K)."""
        return self._sum(terms, (self.heads.heads, channels, places), (False, True, True))

    def bias(self, terms: Sequence[Term], places: Dim, positions: Dims) -> Value | None:
        """The sum of bias terms with 3 + n axes, each of the scores' length or 1."""
        want = (self.heads.batch, self.heads.heads, places, *positions)
        return self._sum(terms, want, [False] * len(want))

    def _sum(self, terms: Sequence[Term], want: Dims, full: Sequence[bool]) -> Value | None:
        made = []
        for term in terms:
            x = self.arrange.arrange(self.typed(term.tensor), term.dims, want, full)
            if term.factor != 1.0:
                x = self.emit.op("Mul", x, self.emit.constant(term.factor, x.dtype, "factor"))
            made.append(x)
        return self.emit.sum(made) if made else None

    def operator(
        self, kind: str, inputs: Sequence[Value | None], slides: Sequence[Slide], want: Dims, **more: Any
    ) -> Value:
        """One operator of the domain over canonical operands; its output has the dimensions ``want``."""
        given = list(inputs)
        while given and given[-1] is None:
            given.pop()
        dtype = next(value.dtype for value in given if value is not None)
        values = [gs.Variable.empty() if value is None else value for value in given]
        y = self.emit.op(kind, *values, part=kind, dtype=dtype, **geometry(slides), **more)
        self.emit.nodes[-1].domain = DOMAIN
        y.shape = [length(dim).entry for dim in want]
        return y


def geometry(slides: Sequence[Slide]) -> dict[str, list[int]]:
    """The attributes of all Local operators; negative padding has been cut off the source."""
    return {
        "kernel": [slide.kernel for slide in slides],
        "dilation": [slide.dilation for slide in slides],
        "pads": [max(0, slide.begin) for slide in slides] + [max(0, slide.end) for slide in slides],
        "stride": [slide.stride for slide in slides],
    }


def described(kind: str, slides: Sequence[Slide], heads: Heads, channels: str, extras: Sequence[str] = ()) -> str:
    """``LocalAttention 7x7, 8 heads of 8, stride 2, with relative``."""
    count = length(heads.heads)
    text = f"{kind} {'x'.join(str(s.kernel) for s in slides)}, {count} head{'s' if count != ONE else ''} of {channels}"
    for name in ("dilation", "stride"):
        values = [getattr(slide, name) for slide in slides]
        if set(values) != {1}:
            text += f", {name} {values[0] if len(set(values)) == 1 else 'x'.join(map(str, values))}"
    return text + "".join(f", {extra}" for extra in extras)


def equalised(ours: Window, theirs: Window) -> tuple[Slide, ...] | None:
    """The slides of two windows that differ only in padding, with the smaller padding of each side; else None."""
    if len(ours.slides) != len(theirs.slides):
        return None
    made = []
    for a, b in zip(ours.slides, theirs.slides, strict=True):
        if (a.kernel, a.dilation, a.stride) != (b.kernel, b.dilation, b.stride):
            return None
        made.append(replace(a, begin=min(a.begin, b.begin), end=min(a.end, b.end)))
    return tuple(made)


def surplus(mine: Slide, common: Slide) -> tuple[int, int]:
    """The zeros that the graph adds before and behind an axis (cuts off if negative) when the operator pads as ``common``."""
    return mine.begin - max(0, common.begin), mine.end - max(0, common.end)


def space_after(window: Window, slides: Sequence[Slide]) -> list[Size]:
    """The space lengths of a source after the graph has added or cut off its padding beyond that of ``slides``."""
    return [
        window.source.sizes[mine.axis] + Size.number(sum(surplus(mine, common)))
        for mine, common in zip(window.slides, slides, strict=True)
    ]
