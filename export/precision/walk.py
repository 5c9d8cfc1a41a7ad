"""Steps along the data for the rules; they skip data movement."""

from collections.abc import Container, Iterator, Mapping, Sequence
from math import prod

import numpy as np
from onnx import NodeProto

from .graph import GraphIndex, Size, attribute
from .operators import moves_data

SUMS = frozenset({"AveragePool", "GlobalAveragePool", "ReduceL1", "ReduceMean", "ReduceProd", "ReduceSum"})
"""Operators that add (or multiply) many elements."""


def origin(index: GraphIndex, tensor: str) -> str:
    """The tensor that a tensor comes from, before data movement with one float32 operand."""
    while (node := index.producer(tensor)) is not None and moves_data(node):
        sources = index.single_inputs(node)
        if len(sources) != 1:
            break
        tensor = sources[0]
    return tensor


def maker(index: GraphIndex, tensor: str) -> NodeProto | None:
    """The node that computes a tensor, before data movement."""
    return index.producer(origin(index, tensor))


def users(index: GraphIndex, node: NodeProto) -> Iterator[tuple[NodeProto, str]]:
    """Yield each node that computes on a node's outputs, after data movement, and the tensor that it reads."""
    pending, seen = list(node.output), set(node.output)
    while pending:
        tensor = pending.pop(0)
        for user in index.consumers(tensor):
            if not moves_data(user):
                yield user, tensor
                continue
            fresh = [name for name in user.output if name not in seen]
            seen.update(fresh)
            pending += fresh


def reached(
    index: GraphIndex, start: NodeProto, through: Container[str], ends: Container[str] = ()
) -> Iterator[NodeProto]:
    """Yield the nodes that compute on a node's outputs, as far as operators ``through`` lead; ``ends`` are the last ones."""
    pending, seen = [start], {start.name}
    while pending:
        for user, _ in users(index, pending.pop(0)):
            if user.name not in seen and (user.op_type in through or user.op_type in ends):
                seen.add(user.name)
                yield user
                if user.op_type in through:
                    pending.append(user)


def traced_back(ends: Sequence[NodeProto], came_from: Mapping[str, NodeProto]) -> list[NodeProto]:
    """The ends of a search, and the nodes on the ways to them; ``came_from`` has the node before each, by name."""
    members = {node.name: node for node in ends}
    for node in ends:
        while node.name in came_from:
            node = came_from[node.name]
            members[node.name] = node
    return list(members.values())


def is_denominator(node: NodeProto, tensor: str) -> bool:
    """Whether a node divides by a tensor."""
    return node.op_type == "Div" and node.input[1] == tensor


def is_square(index: GraphIndex, node: NodeProto) -> bool:
    """``Pow(x, 2)``, or ``Mul(x, x)``."""
    if node.op_type == "Mul":
        return bool(node.input[0] == node.input[1])
    if node.op_type != "Pow":
        return False
    exponent = index.value(node.input[1])
    return exponent is not None and exponent.size == 1 and float(exponent.item()) == 2.0


def reduced_axes(index: GraphIndex, node: NodeProto) -> tuple[int, ...] | None:
    """The axes of a Reduce* node (an input or an attribute); None if unknown."""
    shape = index.shapes.get(node.input[0])
    axes: object = attribute(node, "axes")
    if axes is None and len(node.input) > 1 and node.input[1]:
        axes = index.value(node.input[1])
        if axes is None:
            return None
    listed = [] if axes is None else [int(a) for a in np.atleast_1d(np.asarray(axes))]
    if shape is None:
        return None
    if not listed:
        return () if attribute(node, "noop_with_empty_axes", 0) else tuple(range(len(shape)))
    return tuple(a % len(shape) for a in listed)


def reduced_elements(index: GraphIndex, node: NodeProto) -> int | None:
    """The number of elements that a Reduce* or pooling node combines; None if a size is unknown."""
    kernel = attribute(node, "kernel_shape")
    if isinstance(kernel, list):
        return int(np.prod(kernel))
    shape = index.shapes.get(node.input[0])
    axes = tuple(range(2, len(shape))) if shape and node.op_type.startswith("Global") else reduced_axes(index, node)
    if shape is None or axes is None:
        return None
    return _elements(shape, axes)


def _elements(shape: Sequence[Size], axes: Sequence[int]) -> int | None:
    known = [size for axis in axes if isinstance(size := shape[axis], int)]
    return prod(known) if len(known) == len(axes) else None


def contracted(index: GraphIndex, node: NodeProto) -> int | None:
    """The number of terms in a sum of a MatMul, Gemm or two-operand Einsum; None if a size is unknown."""
    shape = index.shapes.get(node.input[0])
    if not shape:
        return None
    if node.op_type == "Einsum":
        equation = attribute(node, "equation")
        assert isinstance(equation, bytes)
        terms, _, result = equation.decode().replace(" ", "").partition("->")
        first = terms.split(",")[0]
        if "." in terms or not result:
            return None
        axes = [i for i, letter in enumerate(first) if letter not in result]
    else:
        transposed = node.op_type == "Gemm" and bool(attribute(node, "transA", 0))
        axes = [0 if transposed else len(shape) - 1]
    return _elements(shape, axes)
