"""Operators that only rearrange axes, and the dimensions of their outputs."""

from collections.abc import Callable
from typing import Any

from ..graph.shapes import constant, integers, reshape_target, sizes_of
from ..graph.size import ONE, Size
from .layout import REPEATED, Dim, Dims, fresh, length, reshaped


def carried(node: Any, dims: Dims) -> Dims | None:
    """The dimensions of the output of ``node``, whose first input has ``dims``; None if they are not known.

    Raises KeyError for an operator that is not one of ``CARRIERS``.
    """
    return CARRIERS[node.op](node, dims)


def _reshape(node: Any, dims: Dims) -> Dims | None:
    sizes = sizes_of(node.outputs[0])
    target = reshape_target(node, [length(dim) for dim in dims])
    found: list[Size | None] | None = None
    if target is not None:
        told = list(sizes) if sizes is not None and len(sizes) == len(target) else [None] * len(target)
        found = [entry if entry is not None else _useful(told[axis]) for axis, entry in enumerate(target)]
    elif sizes is not None:
        found = [_useful(size) for size in sizes]
    return None if found is None else reshaped(dims, found)


def _useful(size: Size | None) -> Size | None:
    """A length; None if it is only a name that shape inference, or size_of, invented for an unknown axis."""
    if size is None or any("unk__" in str(factor) or "[" in str(factor) for term, _ in size.terms for factor in term):
        return None
    return size


def _transpose(node: Any, dims: Dims) -> Dims:
    perm = node.attrs.get("perm", list(reversed(range(len(dims)))))
    return tuple(dims[axis] for axis in perm)


def numbers_of(node: Any, name: str) -> list[int] | None:
    """The numbers of an attribute that is (in later opsets) input 1; None if they are computed or absent."""
    given = node.attrs.get(name)
    if given is None and len(node.inputs) > 1 and node.inputs[1].name:
        values = constant(node.inputs[1])
        given = None if values is None else values.reshape(-1).tolist()
    return None if given is None else [int(number) for number in given]


def axes_of(node: Any, rank: int) -> list[int] | None:
    """The axes of a node, in order; None if they are computed or absent."""
    given = numbers_of(node, "axes")
    return None if given is None else sorted(axis % rank for axis in given)


def _unsqueeze(node: Any, dims: Dims) -> Dims | None:
    given = numbers_of(node, "axes")
    if given is None:
        return None
    rank = len(dims) + len(given)
    axes = [axis % rank for axis in given]
    rest = iter(dims)
    return tuple(() if axis in axes else next(rest) for axis in range(rank))


def _squeeze(node: Any, dims: Dims) -> Dims | None:
    axes = axes_of(node, len(dims))
    if axes is None:
        axes = [axis for axis, dim in enumerate(dims) if not dim] if len(node.inputs) < 2 else None
    if axes is None or any(dims[axis] for axis in axes):
        return None
    return tuple(dim for axis, dim in enumerate(dims) if axis not in axes)


def _flatten(node: Any, dims: Dims) -> Dims:
    axis = node.attrs.get("axis", 1)
    axis = axis + len(dims) if axis < 0 else axis
    return tuple(tuple(atom for dim in part for atom in dim) for part in (dims[:axis], dims[axis:]))


def _expand(node: Any, dims: Dims) -> Dims | None:
    target = integers(node.inputs[1])
    sizes = sizes_of(node.outputs[0])
    if target is None or any(size is None for size in target):
        target = None if sizes is None else list(sizes)
    if target is None:
        return None
    long = max(len(dims), len(target))
    mine: Dims = ((),) * (long - len(dims)) + dims
    wanted = [ONE] * (long - len(target)) + target
    found = []
    for dim, size in zip(mine, wanted, strict=True):
        if size is None or (dim and size not in (ONE, length(dim))):
            return None
        found.append(dim if dim else fresh(REPEATED, size))
    return tuple(found)


def _tile(node: Any, dims: Dims) -> Dims | None:
    repeats = integers(node.inputs[1])
    if repeats is None or any(count is None for count in repeats):
        return None
    made: list[Dim] = [
        (*fresh(REPEATED, count), *dim) for dim, count in zip(dims, repeats, strict=True) if count is not None
    ]
    return tuple(made)


CARRIERS: dict[str, Callable[[Any, Dims], Dims | None]] = {
    "Identity": lambda node, dims: dims,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Flatten": _flatten,
    "Expand": _expand,
    "Tile": _tile,
}
