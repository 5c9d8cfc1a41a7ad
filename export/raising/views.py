"""Read chains of Slice, Gather by one number, Split and Squeeze as one view of their first tensor.

    x[:, :, 1:H+1][:, :, :, 2:W+2]  ->  of x, along axis 2: from 1, H long; along axis 3: from 2, W long

Bounds may be computed from sizes (graph/shapes.py). A bound that is not known to lie inside the axis refuses the chain.
"""

from dataclasses import dataclass, replace
from typing import Any

from ..graph.shapes import all_integers, constant, producer, size_of
from ..graph.size import ONE, Size

FAR = 2**31 - 1
"""Larger ends mean the end of the axis."""


@dataclass(frozen=True)
class AxisSlice:
    """Along one axis: positions ``start``, ``start + step``, … below ``start + reach``."""

    start: int
    step: int
    reach: Size

    @property
    def count(self) -> Size | None:
        """The number of positions; None if a free length is divided by a step."""
        if self.step == 1:
            return self.reach
        return Size.number(-(-self.reach.value // self.step)) if self.reach.value is not None else None


@dataclass(frozen=True)
class View:
    """A part of every axis of a tensor. The axes ``kept`` remain; the others have length 1 and are removed."""

    parts: tuple[AxisSlice, ...]
    kept: tuple[int, ...]


def chain(tensor: Any) -> list[Any]:
    """The tensors on the way to ``tensor``, from the first that is not a part to ``tensor``."""
    path = [tensor]
    while (node := producer(path[-1])) is not None and _is_part(node):
        path.append(node.inputs[0])
    return path[::-1]


def view(path: list[Any]) -> View | None:
    """The last tensor of a chain as a view of the first; None if a bound is not known to lie inside its axis."""
    base = path[0]
    if base.shape is None:
        return None
    rank = len(base.shape)
    found: View | None = View(tuple(AxisSlice(0, 1, size_of(base, axis)) for axis in range(rank)), tuple(range(rank)))
    for tensor in path[1:]:
        if found is None:
            return None
        found = _APPLY[producer(tensor).op](found, producer(tensor), tensor)
    return found


def _is_part(node: Any) -> bool:
    if node.op == "Gather":
        index = constant(node.inputs[1])
        return index is not None and index.ndim == 0
    return node.op in _APPLY and node.domain in (None, "", "ai.onnx")


def _slice(before: View, node: Any, _: Any) -> View | None:
    given = [all_integers(value) if value.name or value.inputs else None for value in node.inputs[1:]]
    starts, ends = given[0], given[1]
    if starts is None or ends is None:
        return None
    axes = _numbers(given[2]) if len(given) > 2 else list(range(len(starts)))
    steps = _numbers(given[3]) if len(given) > 3 else [1] * len(starts)
    if axes is None or steps is None:
        return None
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where = before.kept[axis]
        narrowed = _narrow(before.parts[where], start, end, step)
        if narrowed is None:
            return None
        before = _with(before, where, narrowed)
    return before


def _gather(before: View, node: Any, _: Any) -> View | None:
    axis = int(node.attrs.get("axis", 0)) % len(before.kept)
    where = before.kept[axis]
    index = int(node.inputs[1].values)
    start = Size.number(index)
    if index < 0:
        count = before.parts[where].count
        if count is None or count.value is None:
            return None
        start = count + start
    narrowed = _narrow(before.parts[where], start, start + ONE, 1)
    return None if narrowed is None else _without(_with(before, where, narrowed), [axis])


def _split(before: View, node: Any, output: Any) -> View | None:
    axis = int(node.attrs.get("axis", 0)) % len(before.kept)
    where = before.kept[axis]
    index = next(i for i, value in enumerate(node.outputs) if value is output)
    if len(node.inputs) > 1:
        widths = _numbers(all_integers(node.inputs[1]))
    else:
        size, parts = before.parts[where].count, len(node.outputs)
        count = None if size is None else size.value
        widths = [count // parts] * parts if count is not None and count % parts == 0 else None
    if widths is None:
        return None
    start = sum(widths[:index])
    narrowed = _narrow(before.parts[where], Size.number(start), Size.number(start + widths[index]), 1)
    return None if narrowed is None else _with(before, where, narrowed)


def _squeeze(before: View, node: Any, _: Any) -> View | None:
    given = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return None if given is None else _without(before, [int(a) % len(before.kept) for a in given.reshape(-1)])


_APPLY = {"Slice": _slice, "Gather": _gather, "Split": _split, "Squeeze": _squeeze}


def _narrow(part: AxisSlice, start: Size, end: Size, step: int) -> AxisSlice | None:
    """A part of a part; None if a bound is not known to lie inside."""
    count = part.count
    if count is None or step < 1:
        return None
    if start.value is not None and start.value < 0:
        start = count + start
        start = Size.number(max(start.value, 0)) if start.value is not None else start
    if start.value is None or start.value < 0:
        return None
    if end.value is not None and end.value >= FAR:
        end = count
    elif end.value is not None and end.value < 0:
        end = count + end
    room = count - end
    if room.value is None:
        return None
    if room.value < 0:
        end = count
    reach = end - start
    if reach.value is not None and reach.value < 1:
        return None
    if reach.value is not None:  # in normal form, so that equal parts compare equal
        chosen = -(-reach.value // step)
        step *= part.step
        return AxisSlice(part.start + part.step * start.value, step, Size.number(step * (chosen - 1) + 1))
    return AxisSlice(part.start + start.value, step, reach) if part.step == 1 else None


def _numbers(values: list[Size] | None) -> list[int] | None:
    numbers = [value.value for value in values or () if value.value is not None]
    return None if values is None or len(numbers) < len(values) else numbers


def _with(before: View, axis: int, part: AxisSlice) -> View:
    return replace(before, parts=(*before.parts[:axis], part, *before.parts[axis + 1 :]))


def _without(before: View, axes: list[int]) -> View | None:
    """Remove the kept axes ``axes``; None unless their length is 1."""
    if any(before.parts[before.kept[a]].count != ONE for a in axes):
        return None
    return replace(before, kept=tuple(k for i, k in enumerate(before.kept) if i not in axes))
