"""Parts of windows: Slice, Gather and Split of one axis, and Concat that joins such parts again."""

from dataclasses import replace
from typing import Any

from ..graph.shapes import constant, scalar
from .context import Recognition
from .layout import OUTER, Dim, Dims, length
from .windows import Term, Windowed, cut, rejoined, strided

ENDLESS = 2**31 - 1
"""The smallest end of a Slice that is beyond every axis."""


def takes_all(node: Any) -> bool:
    """Whether a Slice keeps everything: from the start, without an end, in steps of one."""
    given = [constant(value) if value.name else None for value in node.inputs[1:]]
    if len(given) < 2 or given[0] is None or given[1] is None or (len(given) > 3 and given[3] is None):
        return False
    steps = given[3] if len(given) > 3 and given[3] is not None else [1]
    return (
        all(v == 0 for v in given[0].reshape(-1))
        and all(v >= ENDLESS for v in given[1].reshape(-1))
        and all(v == 1 for v in steps)
    )


def sliced(node: Any, view: Windowed) -> Windowed | None:
    """A Slice with constant bounds of any number of axes."""
    given = [constant(value) if value.name else None for value in node.inputs[1:]]
    if len(given) < 2 or given[0] is None or given[1] is None:
        return None
    starts, ends = (value.reshape(-1).tolist() for value in (given[0], given[1]))
    axes = given[2].reshape(-1).tolist() if len(given) > 2 and given[2] is not None else list(range(len(starts)))
    steps = given[3].reshape(-1).tolist() if len(given) > 3 and given[3] is not None else [1] * len(starts)
    found: Windowed | None = view
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if found is None:
            return None
        found = _part(found, int(axis) % len(view.dims), int(start), int(end), int(step))
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
    given = node.attrs.get("split")
    if given is None and len(node.inputs) > 1 and node.inputs[1].name:
        values = constant(node.inputs[1])
        given = None if values is None else values.reshape(-1).tolist()
        if given is None:
            return [None] * count
    if size is None:
        return [None] * count
    if given is None:
        each = -(-size // count)
        given = [min(each, size - each * i) for i in range(count)]
    found, start = [], 0
    for part in given:
        found.append(_part(view, dim, start, start + int(part), 1))
        start += int(part)
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
    sizes = [length(d) for d in dims]
    joined.shape = [size.value if size.value is not None else str(size) for size in sizes]
    context.keep(arrange)
    return replace(base, relative=(Term(joined, dims),), nodes=nodes)
