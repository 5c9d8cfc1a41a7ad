"""Writes real ATen calls in place of a complex one."""

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

aten = torch.ops.aten

Real = Any
"""A node, a number, or None for zero."""
ComplexParts = tuple[Real, Real]
ComplexRule = Callable[..., Any]
"""Takes the emitter, the node and its arguments; returns ComplexParts, or a node if the result is real."""


class ComplexEmitter:
    """Writes nodes before the one that is being replaced; they keep its module and source line."""

    def __init__(self, graph: torch.fx.Graph, parts: dict[Node, ComplexParts]) -> None:
        self._graph = graph
        self._parts = parts
        self.replaced: Node | None = None

    def __call__(self, operator: Any, *args: Any, **kwargs: Any) -> Node:
        """One call of an ATen operator."""
        node = self._graph.call_function(operator, args, kwargs)
        assert self.replaced is not None
        meta = self.replaced.meta
        node.meta = {key: meta[key] for key in ("nn_module_stack", "stack_trace") if key in meta}
        return node

    def holds(self, value: Any) -> bool:
        """Whether a value of the program was complex and has parts now."""
        return isinstance(value, Node) and value in self._parts

    def parts(self, value: Any) -> ComplexParts:
        """The parts of an operand, complex or not."""
        if isinstance(value, complex):
            return value.real or None, value.imag or None
        if self.holds(value):
            return self._parts[value]
        return value, None

    def add(self, a: Real, b: Real) -> Real:
        """a + b."""
        if a is None or b is None:
            return b if a is None else a
        return self(aten.add.Tensor, a, b) if isinstance(a, Node) else self(aten.add.Tensor, b, a)

    def sub(self, a: Real, b: Real) -> Real:
        """a - b."""
        if not isinstance(a, Node):
            return self.add(a, self.neg(b))
        return a if b is None else self(aten.sub.Tensor, a, b)

    def neg(self, a: Real) -> Real:
        """-a."""
        return self(aten.neg.default, a) if isinstance(a, Node) else None if a is None else -a

    def mul(self, a: Real, b: Real, product: Any = aten.mul.Tensor) -> Real:
        """a times b, or another product of two tensors."""
        if a is None or b is None:
            return None
        if isinstance(a, Node) or isinstance(b, Node):
            return self(product, a, b) if isinstance(a, Node) else self(product, b, a)
        return a * b

    def times(self, z: ComplexParts, w: ComplexParts, product: Any = aten.mul.Tensor) -> ComplexParts:
        """The product of two complex numbers, or matrices of them."""
        (a, b), (c, d) = z, w
        return (
            self.sub(self.mul(a, c, product), self.mul(b, d, product)),
            self.add(self.mul(a, d, product), self.mul(b, c, product)),
        )

    def squared(self, z: ComplexParts) -> Real:
        """|z|^2."""
        return self.add(self.mul(z[0], z[0]), self.mul(z[1], z[1]))
