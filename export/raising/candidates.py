"""Decide quickly, from the names of nodes, whether a model can hold windows, before shapes are inferred and a graph is built.

These are necessary conditions only, checked on the protobuf in time linear in the nodes. Most models hold no windows that
are spelled out, and pay nothing.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import prod

import onnx

from .branches import ELEMENTWISE, LIMIT, MOVES, PRODUCTS, REDUCTIONS

_PARTS = {"Slice", "Split", "Gather"}
_THROUGH = ELEMENTWISE | REDUCTIONS | MOVES | PRODUCTS
_FEWEST = 3


def possible(model: onnx.ModelProto) -> bool:
    """False only if no rule can match in the main graph."""
    graph = model.graph
    if not any(node.op_type in _PARTS | {"Conv"} for node in graph.node):
        return False
    look = _Candidates(graph)
    return any(look.at(node) for node in graph.node)


class _Candidates:
    def __init__(self, graph: onnx.GraphProto) -> None:
        self.made = {name: node for node in graph.node for name in node.output}
        self.uses = Counter(name for node in graph.node for name in node.input)
        self.dims = {t.name: list(t.dims) for t in graph.initializer}
        self.adders: dict[str, int] = Counter(i for n in graph.node if n.op_type == "Add" for i in n.input)

    def at(self, node: onnx.NodeProto) -> bool:
        if node.op_type == "Gather":
            return self._lookup(node)
        if node.op_type == "Conv":
            return self._copies(node)
        if node.op_type == "Concat":
            return self._joined(node)
        return node.op_type == "Add" and not self._inner(node.output[0]) and self._summed(node)

    def _lookup(self, node: onnx.NodeProto) -> bool:
        """Whether a Gather looks up more than a number or a list of numbers."""
        if node.input[1] in self.dims:
            return len(self.dims[node.input[1]]) > 1
        made = self.made.get(node.input[1])
        return made is not None and made.op_type in ("Add", "Reshape", "Constant")

    def _copies(self, node: onnx.NodeProto) -> bool:
        dims = self.dims.get(node.input[1], [])
        group = next((a.i for a in node.attribute if a.name == "group"), 1)
        return len(dims) > 2 and prod(dims[2:]) > 1 and dims[0] == dims[1] * group * prod(dims[2:])

    def _joined(self, node: onnx.NodeProto) -> bool:
        kinds = {self.made[name].op_type if name in self.made else "" for name in node.input}
        enough = len(node.input) >= (2 if kinds == {"Unsqueeze"} else _FEWEST)
        return enough and len(kinds) == 1 and self._has_part(node.input[0])

    def _summed(self, node: onnx.NodeProto) -> bool:
        terms = ((name, self.made.get(name)) for name in self._terms(node))
        products = (name for name, made in terms if made is not None and made.op_type in PRODUCTS | {"Mul"})
        parts = (name for name in products if self._has_part(name))
        return len(list(islice(parts, _FEWEST))) == _FEWEST

    def _inner(self, name: str) -> bool:
        return self.uses[name] == 1 and self.adders[name] == 1

    def _terms(self, node: onnx.NodeProto) -> Iterator[str]:
        waiting = list(node.input)
        while waiting:
            name = waiting.pop()
            made = self.made.get(name)
            if made is not None and made.op_type == "Add" and self._inner(name):
                waiting += made.input
            else:
                yield name

    def _has_part(self, name: str) -> bool:
        """Whether a branch slices a tensor, within the number of operators that a branch may have."""
        waiting, seen = [name], 0
        while waiting and seen < LIMIT:
            seen += 1
            made = self.made.get(waiting.pop())
            if made is None:
                continue
            if made.op_type in _PARTS:
                return True
            if made.op_type in _THROUGH:
                waiting += made.input
        return False
