"""An ONNX graph under way, and beside each node the NumPy function that gives its FP64 value.

The graph is computed while it is drawn, so that shapes are known and values stay finite. The functions are kept as a
program: it evaluates the whole graph on other inputs, independently of everything that is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

TYPES = {
    "float64": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32, "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "uint32": TensorProto.UINT32, "uint64": TensorProto.UINT64,
}  # fmt: skip
"""The type in the file of a value in the program: floats are FP32 in the file."""

LARGEST, MOST = 100.0, 3000
"""A value beyond these, in size or in number, is not kept."""

Arrays = dict[str, np.ndarray]
Function = Callable[..., Any]


class Rejected(Exception):
    """What was drawn cannot be used: the node is taken back, and another is drawn."""


@dataclass(frozen=True)
class Step:
    """One node in the program. The function gets the inputs in order and returns one array, or a tuple of them."""

    function: Function
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, values: Arrays) -> None:
        """Add the outputs to ``values``."""
        with np.errstate(all="ignore"):
            results = self.function(*(values[name] if name else None for name in self.inputs))
        results = results if isinstance(results, tuple) else (results,)
        for name, result in zip(self.outputs, results, strict=False):
            if name:
                result = np.asarray(result)
                values[name] = result.astype(np.float64) if result.dtype.kind == "f" else result


@dataclass
class Sketch:
    """``free``: axis 0 of every value that can be read has any size. ``exact``: the program is FP64 all the way.

    ``pool``: names that can be read. ``values``: every array so far, at the size that was drawn. ``wide``: what is not exact is
    computed in FP64, too, where onnx's reference evaluator gives ONNX Runtime's values.
    """

    rng: np.random.Generator
    opset: int
    free: bool = False
    prefix: str = ""
    exact: bool = True
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)
    program: list[Step] = field(default_factory=list)
    values: Arrays = field(default_factory=dict)
    pool: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    count: int = 0
    wide: bool = False

    def fresh(self, word: str = "t") -> str:
        """A new name."""
        self.count += 1
        return f"{self.prefix}{word}{self.count}"

    def flip(self, chance: float = 0.5) -> bool:
        """True as often as ``chance`` says."""
        return bool(self.rng.random() < chance)

    def one(self, choices: Sequence[Any]) -> Any:
        """One of them."""
        return choices[int(self.rng.integers(len(choices)))]

    def between(self, low: int, high: int) -> int:
        """An integer, both ends included. Raises Rejected if there is none."""
        if low > high:
            raise Rejected("no choice")
        return int(self.rng.integers(low, high + 1))

    def const(self, array: Any, dtype: Any = np.float32) -> str:
        """A weight; a small one is a Constant node now and then."""
        name, stored = self.fresh("w"), np.asarray(array, dtype)
        tensor = numpy_helper.from_array(stored, name)
        if stored.size < 9 and self.flip(0.2):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.weights.append(tensor)
        value = stored.astype(np.float64) if stored.dtype.kind == "f" else stored
        self.values[name] = value
        self.program.append(Step(lambda: value, (), (name,)))
        return name

    def ints(self, *values: int) -> str:
        """A vector of int64."""
        return self.const(values, np.int64)

    def weight(self, *shape: int) -> str:
        """Weights that keep the size of what they multiply."""
        fan = int(np.prod(shape[1:])) if len(shape) > 2 else shape[0]
        return self.const(self.rng.normal(size=shape) / max(fan, 1) ** 0.5)

    def op(
        self, op: str, inputs: Sequence[str], function: Function, outputs: int = 1, domain: str = "", **attributes: Any
    ) -> str:
        """A node with its function; the name of its first output."""
        names = [self.fresh() for _ in range(outputs)]
        name = f"{self.prefix}{op}_{len(self.nodes)}" if self.flip(0.8) else ""
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, domain=domain, **attributes))
        step = Step(function, tuple(inputs), tuple(names))
        self.program.append(step)
        step.run(self.values)
        return names[0]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape at the size that was drawn."""
        return self.values[name].shape

    def pick(self, rank: int | Sequence[int] | None = None, kind: str = "f") -> str:
        """A value that can be read, of that rank and kind; a late one more often. Raises Rejected if there is none."""
        ranks = (rank,) if isinstance(rank, int) else rank
        names = [
            name
            for name in self.pool
            if self.values[name].dtype.kind in kind and (ranks is None or self.values[name].ndim in ranks)
        ]
        if not names:
            raise Rejected("nothing of that rank and kind")
        return names[min(len(names) - 1, int(len(names) * self.rng.beta(2, 1)))]

    def axis(self, name: str, negative: bool = True) -> int:
        """One of its axes, not the free one; counted from the end now and then."""
        first, rank = int(self.free), self.values[name].ndim
        if first >= rank:
            raise Rejected("no axis")
        found = self.between(first, rank - 1)
        return found - rank if negative and self.flip(0.4) else found

    def keep(self, *names: str) -> None:
        """These can be read from here on. Raises Rejected for values that say nothing, and for those that are too large."""
        for name in names:
            array = self.values[name]
            if not 0 < array.size <= MOST:
                raise Rejected("size")
            if array.dtype.kind == "f" and not (np.isfinite(array).all() and np.abs(array).max() <= LARGEST):
                raise Rejected("large values")
        self.pool += names

    def attempt(self, kind: Callable[[Sketch], None]) -> bool:
        """Draw one kind of node; take it back if it cannot be used."""
        sizes = [len(part) for part in (self.nodes, self.weights, self.program, self.pool)]
        exact = self.exact
        try:
            kind(self)
        except Rejected:
            for part, size in zip((self.nodes, self.weights, self.program, self.pool), sizes, strict=True):
                del part[size:]
            self.exact = exact
            return False
        return True

    def run(self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str], wide: bool = False) -> Arrays:
        """The program's values of these outputs; ``feeds`` may also hold values in the middle of the graph."""
        values = {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in feeds.items()}
        self.wide = wide
        for step in self.program:
            if not set(step.outputs) <= set(feeds) and all(name in values for name in step.inputs if name):
                step.run(values)
        return {name: values[name] for name in outputs}

    def info(self, name: str, free: bool = False) -> Any:
        """The declaration of a value; ``free``: axis 0 has a name in place of a size."""
        array = self.values[name]
        dims: list[int | str] = list(array.shape)
        if free and dims:
            dims[0] = "N"
        return helper.make_tensor_value_info(name, TYPES[array.dtype.name], dims)

    def graph(self, outputs: Sequence[str]) -> GraphProto:
        """The graph with these outputs."""
        given, made = ([self.info(name, self.free) for name in names] for names in (self.given, outputs))
        return helper.make_graph(self.nodes, f"{self.prefix}graph", given, made, self.weights)

    def model(self, outputs: Sequence[str]) -> ModelProto:
        """The model with these outputs."""
        sets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(self.graph(outputs), opset_imports=sets, ir_version=10)
