"""Windows: their source tensor, their axes, and how Im2Col, Unfold and cuts combine into one window."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph.shapes import constant, producer, scalar, sizes_of
from ..graph.size import Size
from .layout import OUTER, PLACE, POSITION, Atom, Dim, Dims, flat, length, ordered, whole


@dataclass(frozen=True)
class Slide:
    """The windows along one axis of the source. ``begin`` and ``end`` count zeros added, or values cut off if negative."""

    axis: int
    kernel: int
    dilation: int
    begin: int
    end: int
    stride: int

    @property
    def reach(self) -> int:
        """The length of a window with its holes."""
        return self.dilation * (self.kernel - 1) + 1

    def positions(self, size: Size) -> Size:
        """The number of windows on an axis of ``size``."""
        free = size + Size.number(self.begin + self.end - self.reach)
        return free.floordiv(self.stride) + Size.number(1)


@dataclass(frozen=True)
class Cut:
    """One step from a tensor to the source: reshape it to ``sizes``, then keep ``start:stop`` of ``axis``."""

    sizes: tuple[Size, ...]
    axis: int
    start: int
    stop: int


@dataclass(frozen=True)
class WindowSource:
    """A tensor of the graph after some cuts; ``sizes`` are its lengths after them."""

    tensor: Any
    sizes: tuple[Size, ...]
    cuts: tuple[Cut, ...] = ()


@dataclass(frozen=True)
class Window:
    """Windows of ``source`` along the axes of ``slides`` (in axis order); ``nodes`` are the operators that compute them."""

    source: WindowSource
    slides: tuple[Slide, ...]
    nodes: tuple[str, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of the source that windows slide along."""
        return tuple(slide.axis for slide in self.slides)

    @property
    def places(self) -> Dim:
        """The atoms of the window, in row-major order."""
        return flat(whole(PLACE, slide.axis, Size.number(slide.kernel)) for slide in self.slides)

    @property
    def positions(self) -> Dims:
        """The position axes, in the order of the space axes."""
        sizes = self.source.sizes
        return tuple(whole(POSITION, slide.axis, slide.positions(sizes[slide.axis])) for slide in self.slides)

    @property
    def overlapping(self) -> bool:
        """Whether a value is in more than one window."""
        return any(slide.reach > slide.stride for slide in self.slides)


@dataclass(frozen=True)
class Term:
    """``factor`` times a tensor, added to windows or scores; its dimensions are in the atoms of those."""

    tensor: Any
    dims: Dims
    factor: float = 1.0


@dataclass(frozen=True)
class Windowed:
    """A value with every element of the windows once, its axes arranged as ``dims``, plus ``relative`` terms.

    ``cut`` says of which larger value this is a part: (that value, its dimension, start, stop).
    """

    window: Window
    dims: Dims
    relative: tuple[Term, ...] = ()
    nodes: tuple[str, ...] = ()
    cut: "tuple[Windowed, int, int, int] | None" = None
    factor: float = 1.0
    """The factor of the whole value, relative terms included."""


def im2col(node: Any) -> Windowed | None:
    """The windows of an Im2Col node."""
    x, attrs = node.inputs[0], node.attrs
    sizes = sizes_of(x)
    if sizes is None or len(sizes) != 4:
        return None
    pads, source = attrs["pads"], WindowSource(x, sizes)
    slides = tuple(
        Slide(
            axis + 2, attrs["kernel"][axis], attrs["dilation"][axis], pads[axis], pads[axis + 2], attrs["stride"][axis]
        )
        for axis in range(2)
    )
    window = _padding_absorbed(Window(source, slides, (node.name,)))
    columns = (*whole(OUTER, 1, sizes[1]), *window.places)
    return Windowed(window, (whole(OUTER, 0, sizes[0]), columns, flat(window.positions)), nodes=(node.name,))


def unfold(node: Any, view: Windowed | None) -> Windowed | None:
    """The windows of an Unfold node, of a plain tensor or along one more axis of windows (``view``)."""
    axis, attrs = node.attrs["axis"], node.attrs
    slide = Slide(axis, attrs["size"], 1, 0, 0, attrs["step"])
    if view is None:
        sizes = sizes_of(node.inputs[0])
        if sizes is None:
            return None
        window = _padding_absorbed(Window(WindowSource(node.inputs[0], sizes), (slide,), (node.name,)))
        dims = tuple(whole(OUTER, i, size) for i, size in enumerate(sizes))
    else:
        (atom,) = view.dims[axis] if len(view.dims[axis]) == 1 else (None,)
        if atom is None or atom.role != OUTER or atom.length != view.window.source.sizes[atom.axis] or view.relative:
            return None
        slides = sorted((*view.window.slides, replace(slide, axis=atom.axis)), key=lambda entry: entry.axis)
        window = _padding_absorbed(replace(view.window, slides=tuple(slides), nodes=(*view.window.nodes, node.name)))
        dims = view.dims
        slide = replace(slide, axis=atom.axis)
    made = next(entry for entry in window.slides if entry.axis == slide.axis)
    position = whole(POSITION, made.axis, made.positions(window.source.sizes[made.axis]))
    place = whole(PLACE, made.axis, Size.number(made.kernel))
    nodes = (*(view.nodes if view is not None else ()), node.name)
    return Windowed(window, (*dims[:axis], position, *dims[axis + 1 :], place), nodes=nodes)


def _padding_absorbed(window: Window) -> Window:
    """The window with a zero Pad of its axes counted as its padding."""
    node = producer(window.source.tensor)
    if window.source.cuts or node is None or node.op != "Pad" or node.attrs.get("mode", "constant") != "constant":
        return window
    inner = node.inputs[0]
    amounts, sizes = _pad_amounts(node, len(window.source.sizes)), sizes_of(inner)
    if amounts is None or sizes is None:
        return window
    if any(pair != (0, 0) and (axis not in window.axes or min(pair) < 0) for axis, pair in enumerate(amounts)):
        return window
    slides = tuple(
        replace(slide, begin=slide.begin + amounts[slide.axis][0], end=slide.end + amounts[slide.axis][1])
        for slide in window.slides
    )
    return _padding_absorbed(replace(window, source=WindowSource(inner, sizes), slides=slides))


def _pad_amounts(node: Any, rank: int) -> list[tuple[int, int]] | None:
    """The zeros before and behind each axis; None if they are not constant or not zeros."""
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    value = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2].name else None
    axes = constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3].name else np.arange(rank)
    if given is None or axes is None or (value is not None and scalar(value) != 0):
        return None
    amounts = [(0, 0)] * rank
    half = len(given) // 2
    for at, axis in enumerate(axes.reshape(-1)):
        amounts[int(axis) % rank] = (int(given[at]), int(given[half + at]))
    return amounts


def strided(view: Windowed, dim: int, start: int, stop: int | None, step: int) -> Windowed | None:
    """The view after ``start:stop:step`` of a dimension that is the places or the positions of one axis.

    ``stop`` is None for the end, and negative from it. Places that remain are a dilated window; positions, a stride.
    """
    if len(view.dims[dim]) != 1 or view.relative or start < 0 or step < 1:
        return None
    (atom,) = view.dims[dim]
    slide = next((entry for entry in view.window.slides if entry.axis == atom.axis), None)
    if slide is None or (atom.role == PLACE and atom.length != Size.number(slide.kernel)):
        return None
    size = view.window.source.sizes[slide.axis]
    if atom.role == PLACE:
        kept = range(slide.kernel)[start:stop:step]
        if not kept:
            return None
        made = replace(
            slide, kernel=len(kept), dilation=slide.dilation * step, begin=slide.begin - start * slide.dilation
        )
        # The number of windows stays: values that the shorter window does not reach are cut off.
        made = replace(made, end=slide.end + made.reach - slide.reach + start * slide.dilation)
        new = whole(PLACE, slide.axis, Size.number(len(kept)))
    elif atom.role == POSITION and atom.length == slide.positions(size):
        if stop is not None and stop >= 0:
            count = slide.positions(size).value
            if count is None:
                return None
            stop = min(stop, count) - count
        cut = -stop if stop is not None else 0
        made = replace(
            slide,
            begin=slide.begin - start * slide.stride,
            end=slide.end - cut * slide.stride,
            stride=slide.stride * step,
        )
        new = whole(POSITION, slide.axis, made.positions(size))
    else:
        return None
    slides = tuple(made if entry is slide else entry for entry in view.window.slides)
    window = replace(view.window, slides=slides)
    return replace(view, window=window, dims=(*view.dims[:dim], new, *view.dims[dim + 1 :]), cut=None)


def cut(view: Windowed, dim: int, start: int, stop: int) -> Windowed | None:
    """The view after ``start:stop`` of a dimension that is one piece of an axis without windows: windows of a cut source."""
    if len(view.dims[dim]) != 1 or view.relative or view.dims[dim][0].role != OUTER:
        return None
    (piece,) = view.dims[dim]
    source = view.window.source
    sizes: list[Size] = []
    places: dict[Atom, Atom] = {}
    moved: dict[int, int] = {}
    for axis, size in enumerate(source.sizes):
        moved[axis] = len(sizes)
        if axis in view.window.axes:
            sizes.append(size)
            continue
        pieces = ordered(atom for atom in flat(view.dims) if atom.role == OUTER and atom.axis == axis)
        if pieces is None or length(pieces) != size:
            return None
        for atom in pieces:
            places[atom] = Atom(OUTER, len(sizes), atom.length)
            sizes.append(atom.length)
    axis = places[piece].axis
    after = tuple(Size.number(stop - start) if i == axis else size for i, size in enumerate(sizes))
    step = Cut(tuple(sizes), axis, start, stop)
    slides = tuple(replace(slide, axis=moved[slide.axis]) for slide in view.window.slides)
    window = Window(replace(source, sizes=after, cuts=(*source.cuts, step)), slides, view.window.nodes)

    def renamed(atom: Atom) -> Dim:
        if atom == piece:
            return whole(OUTER, axis, Size.number(stop - start))
        if atom.role == OUTER:
            return (places[atom],)
        return (replace(atom, axis=moved[atom.axis]),) if atom.role in (PLACE, POSITION) else (atom,)

    dims = tuple(tuple(new for atom in old for new in renamed(atom)) for old in view.dims)
    return replace(view, window=window, dims=dims, cut=(view, dim, start, stop))


def rejoined(parts: Sequence[Windowed], dim: int) -> Windowed | None:
    """The value that ``parts`` were cut from, where they are all of it in order. Their relative terms are left to the caller."""
    cuts = [part.cut for part in parts]
    if any(entry is None for entry in cuts):
        return None
    known = [entry for entry in cuts if entry is not None]
    base = known[0][0]
    at = 0
    for of, axis, start, stop in known:
        if of is not base or axis != dim or start != at:
            return None
        at = stop
    return base if length(base.dims[dim]) == Size.number(at) else None
