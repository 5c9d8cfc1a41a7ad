"""The order in which the nodes of a graph run, and the tensors that nothing reads after each of them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from .call import attributes_of


@dataclass(frozen=True)
class Step:
    """A node with its attributes; ``done``: the tensors of the graph that nothing reads after it."""

    node: onnx.NodeProto
    attributes: Mapping[str, Any]
    done: tuple[str, ...]


def plan(graph: onnx.GraphProto, kept: Collection[str]) -> tuple[Step, ...]:
    """The nodes of a graph in topological order; ``kept`` are the tensors that the caller reads afterwards."""
    nodes = _sorted(graph)
    last: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for name in (*reads(node), *node.output):
            last[name] = place
    done: list[list[str]] = [[] for _ in nodes]
    for name, place in last.items():
        if name and name not in kept:
            done[place].append(name)
    return tuple(Step(node, attributes_of(node), tuple(names)) for node, names in zip(nodes, done, strict=True))


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs among a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def reads(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, those that its bodies take from outside included."""
    names = [name for name in node.input if name]
    for body in bodies(node):
        names += outer_reads(body)
    return names


def outer_reads(graph: onnx.GraphProto) -> list[str]:
    """The tensors that a body takes from outside."""
    inner = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    inner |= {name for node in graph.node for name in node.output}
    names = [name for node in graph.node for name in reads(node)] + [value.name for value in graph.output]
    return [name for name in dict.fromkeys(names) if name not in inner]


def _sorted(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes as they are listed, each after those that make its inputs."""
    waiting = list(graph.node)
    pending = {name for node in waiting for name in node.output if name}
    order: list[onnx.NodeProto] = []
    while waiting:
        rest = []
        for node in waiting:
            if pending.isdisjoint(reads(node)):
                order.append(node)
                pending.difference_update(node.output)
            else:
                rest.append(node)
        if len(rest) == len(waiting):
            return order + rest
        waiting = rest
    return order
