"""Parts of windows: Slice, Gather and Split of one axis, and Concat that joins such parts again."""

from dataclasses import replace
from typing import Any

from ..graph.shapes import constant, scalar
from .carry import numbers_of
from .context import Recognition
from .layout import OUTER, Dim, Dims, length
from .windows import Term, Windowed, cut, rejoined, strided

ENDLESS = 2**31 - 1
"""The smallest end of a Slice that is beyond every axis."""


def takes_all(node: Any) -> bool:
    """Whether a Slice keeps everything: from the start, without an end, in steps of one."""
    bounds = _bounds(node)
    return bounds is not None and all(
        start == 0 and end >= ENDLESS and step == 1 for start, end, _, step in zip(*bounds, strict=True)
    )


def _bounds(node: Any) -> tuple[list[int], list[int], list[int], list[int]] | None:
    """The starts, ends, axes and steps of a Slice; None if one of them is computed."""
    given = [constant(value) if value.name else None for value in node.inputs[1:]]
    if len(given) < 2 or any(array is None and value.name for array, value in zip(given, node.inputs[1:], strict=True)):
        return None
    numbers = [array.reshape(-1).tolist() if array is not None else [] for array in given]
    starts, ends, axes, steps = (*numbers, [], [])[:4]
    return starts, ends, axes or list(range(len(starts))), steps or [1] * len(starts)


def sliced(node: Any, view: Windowed) -> Windowed | None:
    """A Slice with constant bounds of any number of axes."""
    bounds = _bounds(node)
    found: Windowed | None = None if bounds is None else view
    for start, end, axis, step in zip(*(bounds or ()), strict=True):
        found = None if found is None else _part(found, axis % len(view.dims), start, end, step)
    return found


def _part(view: Windowed, dim: int, start: int, end: int, step: int) -> Windowed | None:
    size = length(view.dims[dim]).value
    stop = None if end >= (size if size is not None else ENDLESS) else end
    if size is not None:
        start = min(start + size if start < 0 else start, size)
        stop = stop + size if stop is not None and stop < 0 else stop
    if (start, stop, step) == (0, None, 1):
        return view
    if not view.dims[dim]:
        return None
    if view.dims[dim][0].role != OUTER:
        return strided(view, dim, start, stop, step)
    if size is None or step != 1:
        return None
    return cut(view, dim, start, size if stop is None else stop)


def gathered(node: Any, view: Windowed) -> Windowed | None:
    """A Gather of one index, which also drops the axis."""
    index = scalar(node.inputs[1])
    dim = node.attrs.get("axis", 0) % len(view.dims)
    size = length(view.dims[dim]).value
    if index is None or size is None or len(node.inputs[1].shape) > 0:
        return None
    at = int(index) % size
    found = view if size == 1 else cut(view, dim, at, at + 1)
    if found is None:
        return None
    return replace(found, dims=(*found.dims[:dim], *found.dims[dim + 1 :]), cut=None)


def split(node: Any, view: Windowed) -> list[Windowed | None]:
    """The outputs of a Split."""
    dim = node.attrs.get("axis", 0) % len(view.dims)
    size, count = length(view.dims[dim]).value, len(node.outputs)
    given = numbers_of(node, "split")
    computed = given is None and len(node.inputs) > 1 and bool(node.inputs[1].name)
    if size is None or computed:
        return [None] * count
    if given is None:
        each = -(-size // count)
        given = [min(each, size - each * i) for i in range(count)]
    found, start = [], 0
    for part in given:
        found.append(_part(view, dim, start, start + part, 1))
        start += part
    return found


def _dim(term: Term, from_end: int) -> Dim:
    """A dimension of a term, counted from its last; missing dimensions are 1."""
    return term.dims[from_end] if -from_end <= len(term.dims) else ()


def concatenated(context: Recognition, node: Any, parts: list[Windowed | None]) -> Windowed | None:
    """A Concat of parts that are together what they were cut from, each with a relative term of its own (or all with none)."""
    known = [part for part in parts if part is not None]
    if len(known) != len(parts) or not known:
        return None
    dim = node.attrs["axis"] % len(known[0].dims)
    base = rejoined(known, dim)
    if base is None or any(len(part.dims) != len(base.dims) for part in known):
        return None
    nodes = tuple(dict.fromkeys([*(name for part in known for name in part.nodes), node.name]))
    if not any(part.relative for part in known):
        return replace(base, nodes=nodes)
    if not all(part.relative for part in known):
        return None
    # The axes along which some part's term varies; the joined one always.
    varies = [
        axis == dim or any(_dim(term, axis - len(base.dims)) for part in known for term in part.relative)
        for axis in range(len(base.dims))
    ]  # fmt: skip
    arrange = context.arrange(node)
    made = []
    for part in known:
        want: Dims = tuple(d if v else () for d, v in zip(part.dims, varies, strict=True))
        total = None
        for term in part.relative:
            x = arrange.arrange(term.tensor, term.dims, want)
            if term.factor != 1.0:
                x = arrange.emit.op("Mul", x, arrange.emit.constant(term.factor, x.dtype, "factor"))
            total = x if total is None else arrange.emit.op("Add", total, x)
        made.append(total)
    joined = arrange.emit.op("Concat", *made, part="relative", axis=dim)
    dims = tuple(d if v else () for d, v in zip(base.dims, varies, strict=True))
    joined.shape = [length(d).entry for d in dims]
    context.keep(arrange)
    return replace(base, relative=(Term(joined, dims),), nodes=nodes)
