"""Sequences and optionals: lists, and :data:`~.call.EMPTY` for an optional without an element."""

from typing import Any

import numpy as np

from .call import EMPTY, Call, Kernel, NotCovered, Value


def _items(call: Call) -> list[Any]:
    value = call.optional(0)
    if not isinstance(value, list):
        raise NotCovered
    return value


def _position(call: Call, index: int) -> int | None:
    return int(call.array(index).reshape(-1)[0]) if call.present(index) else None


def _at(call: Call) -> list[Value]:
    return [_items(call)[int(call.array(1).reshape(-1)[0])]]


def _construct(call: Call) -> list[Value]:
    return [list(call.inputs)]


def _empty(call: Call) -> list[Value]:
    return [[]]


def _insert(call: Call) -> list[Value]:
    """At the end unless a position is given; a negative one counts from the end."""
    items, place = list(_items(call)), _position(call, 2)
    items.insert(len(items) if place is None else place, call.inputs[1])
    return [items]


def _erase(call: Call) -> list[Value]:
    items, place = list(_items(call)), _position(call, 1)
    del items[-1 if place is None else place]
    return [items]


def _length(call: Call) -> list[Value]:
    return [np.array(len(_items(call)), np.int64)]


def _concatenated(call: Call) -> list[Value]:
    axis = call.integer("axis", 0)
    return [np.stack(_items(call), axis) if call.flag("new_axis") else np.concatenate(_items(call), axis)]


def _split(call: Call) -> list[Value]:
    """By one size, the last part the rest; by a list of sizes; without any into single slices (keepdims decides their rank)."""
    x, axis = call.array(0), call.integer("axis", 0)
    size = x.shape[axis]
    if not call.present(1):
        parts = np.split(x, size, axis) if size else []
        return [parts if call.flag("keepdims", 1) else [part.squeeze(axis) for part in parts]]
    split = call.array(1)
    borders = range(int(split), size, int(split)) if split.ndim == 0 else map(int, np.cumsum(split)[:-1])
    return [np.split(x, list(borders), axis)]


def _optional(call: Call) -> list[Value]:
    return [call.inputs[0] if call.present(0) else EMPTY]


def _has_element(call: Call) -> list[Value]:
    return [np.array(call.present(0) and call.inputs[0] is not EMPTY)]


def _element(call: Call) -> list[Value]:
    if call.inputs[0] is EMPTY:
        raise NotCovered
    return [call.inputs[0]]


KERNELS: dict[str, Kernel] = {
    "ConcatFromSequence": _concatenated,
    "Optional": _optional,
    "OptionalGetElement": _element,
    "OptionalHasElement": _has_element,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split,
}
"""By operator of the standard domain."""
