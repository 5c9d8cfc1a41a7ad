"""Build standard operators (opset 18 or later) in place of one node, with names that start with its name.

Every node is called ``<replaced node>/<part>``, so that its origin is found by prefix (see origin.py). Sizes are ``Dim``: an int
if it is known, else an int64[1] tensor. Arithmetic on ints happens here, not in the graph, and an axis of known length never
costs a Shape.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs

Value = Any
"""A tensor of the graph (onnx-graphsurgeon ships no types)."""
Dim = Any
"""An int, or an int64[1] Value."""

TO_END = 2**63 - 1


class GraphBuilder:
    """The nodes that replace ``node``, in the order of the calls. ``taken`` are the names in use, and grows."""

    def __init__(self, node: Any, taken: set[str], opset: int) -> None:
        self.node = node
        self.opset = opset
        self.nodes: list[Any] = []
        self._taken = taken

    def op(self, kind: str, *inputs: Value, part: str = "", dtype: Any = None, **attributes: Any) -> Value:
        """Add an operator with one output, named ``part`` (default: its kind), of ``dtype`` (default: the first input's)."""
        name = self._name(part or kind.lower())
        output = gs.Variable(f"{name}_out", dtype=dtype if dtype is not None else inputs[0].dtype)
        self._taken.add(output.name)
        self.nodes.append(gs.Node(kind, name, attrs=attributes, inputs=list(inputs), outputs=[output]))
        return output

    def constant(self, values: npt.ArrayLike, dtype: npt.DTypeLike, part: str = "constant") -> Value:
        """An initializer."""
        return gs.Constant(self._name(part), np.asarray(values, dtype=dtype))

    def ints(self, values: Sequence[int], part: str = "ints") -> Value:
        """An int64 vector."""
        return self.constant(list(values), np.int64, part)

    def vector(self, dims: Sequence[Dim]) -> Value:
        """An int64 vector of known and computed entries."""
        if all(isinstance(dim, int) for dim in dims):
            return self.ints(dims)
        if len(dims) == 1:
            return dims[0]
        return self.op("Concat", *(self._as_tensor(dim) for dim in dims), part="sizes", axis=0)

    def dim(self, x: Value, axis: int) -> Dim:
        """The length of one axis."""
        size = x.shape[axis] if x.shape is not None else None
        if isinstance(size, int):
            return size
        return self.op("Shape", x, part=f"size{axis}", dtype=np.int64, start=axis, end=axis + 1)

    def count(self, length: Dim, part: str = "") -> Value:
        """0, 1, 2 … up to a length, int64."""
        if isinstance(length, int):
            return self.ints(range(length), part or "ints")
        zero, one = (self.constant(number, np.int64, part or "constant") for number in (0, 1))
        return self.op("Range", zero, self.squeeze(length, [0]), one, part=part, dtype=np.int64)

    def add(self, a: Dim, b: Dim) -> Dim:
        """a + b."""
        return self._arithmetic("Add", a, b, lambda p, q: p + q, neutral=0)

    def sub(self, a: Dim, b: Dim) -> Dim:
        """a - b."""
        return self._arithmetic("Sub", a, b, lambda p, q: p - q, neutral=0)

    def mul(self, a: Dim, b: Dim) -> Dim:
        """a * b."""
        return self._arithmetic("Mul", a, b, lambda p, q: p * q, neutral=1)

    def floordiv(self, a: Dim, b: int) -> Dim:
        """a // b for a >= 0 and b > 0."""
        return self._arithmetic("Div", a, b, lambda p, q: p // q, neutral=1)

    def floormod(self, a: Dim, b: Dim) -> Dim:
        """a mod b, in [0, b), for b > 0."""
        return self._arithmetic("Mod", a, b, lambda p, q: p % q, neutral=None)

    def slice(
        self, x: Value, starts: Sequence[Dim], ends: Sequence[Dim], axes: Sequence[int], steps: Sequence[int] = ()
    ) -> Value:
        """x[starts:ends:steps] along ``axes``; negative bounds count from the end, TO_END is the end."""
        arguments = [self.vector(starts), self.vector(ends), self.ints(axes)]
        if any(step != 1 for step in steps):
            arguments.append(self.ints(steps))
        return self.op("Slice", x, *arguments)

    def pad(self, x: Value, rank: int, amounts: Mapping[int, tuple[int, int]]) -> Value:
        """Add zeros (before, after) each axis in ``amounts``; return x itself if there are none.

        All axes are written out, since the ``axes`` input of Pad is young.
        """
        pairs = [amounts.get(axis, (0, 0)) for axis in range(rank)]
        pads = [before for before, _ in pairs] + [after for _, after in pairs]
        return self.op("Pad", x, self.ints(pads)) if any(pads) else x

    def reshape(self, x: Value, dims: Sequence[Dim]) -> Value:
        """x in the shape ``dims``; 0 copies the length of the same axis of x, and -1 is inferred."""
        return self.op("Reshape", x, self.vector(dims))

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """The axes of x in the order ``perm``."""
        return self.op("Transpose", x, perm=list(perm))

    def unsqueeze(self, x: Value, axes: Sequence[int]) -> Value:
        """Add axes of length 1."""
        return self.op("Unsqueeze", x, self.ints(axes))

    def squeeze(self, x: Value, axes: Sequence[int]) -> Value:
        """Remove axes of length 1."""
        return self.op("Squeeze", x, self.ints(axes))

    def concat(self, parts: Sequence[Value], axis: int) -> Value:
        """Join the parts along ``axis``; a single part is returned unchanged."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=axis)

    def split(self, x: Value, parts: int, axis: int) -> list[Value]:
        """Split x into ``parts`` pieces of length 1 along ``axis``; they keep the axis."""
        if parts == 1:
            return [x]
        name = self._name("split")
        outputs = [gs.Variable(f"{name}_out{index}", dtype=x.dtype) for index in range(parts)]
        self._taken.update(output.name for output in outputs)
        sizes = self.ints([1] * parts, "lengths")
        self.nodes.append(gs.Node("Split", name, attrs={"axis": axis}, inputs=[x, sizes], outputs=outputs))
        return outputs

    def cast(self, x: Value, dtype: npt.DTypeLike) -> Value:
        """x in the type ``dtype``; x itself if it has that type."""
        if x.dtype == np.dtype(dtype):
            return x
        to = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.op("Cast", x, to=int(to), dtype=np.dtype(dtype))

    def sum(self, terms: Sequence[Value]) -> Value:
        """The sum of the terms, from the left."""
        return reduce(lambda total, term: self.op("Add", total, term), terms)

    def finish(self, result: Value) -> None:
        """Give ``result`` the name, type and shape of the replaced node's output."""
        output = self.node.outputs[0]
        if not self.nodes or self.nodes[-1].outputs[0] is not result:
            result = self.op("Identity", result)
        self.node.outputs.clear()
        self.nodes[-1].outputs = [output]

    def _arithmetic(self, kind: str, a: Dim, b: Dim, fold: Any, neutral: int | None) -> Dim:
        if isinstance(a, int) and isinstance(b, int):
            return fold(a, b)
        if isinstance(b, int) and b == neutral:
            return a
        return self.op(kind, self._as_tensor(a), self._as_tensor(b), dtype=np.int64)

    def _as_tensor(self, dim: Dim) -> Value:
        return self.ints([dim]) if isinstance(dim, int) else dim

    def _name(self, part: str) -> str:
        name, count = f"{self.node.name}/{part}", 1
        while name in self._taken:
            count += 1
            name = f"{self.node.name}/{part}_{count}"
        self._taken.add(name)
        return name
