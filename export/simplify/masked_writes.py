"""Writing where a mask says becomes choosing: ``r[m] = v[m] * 2`` computes v * 2 everywhere and takes it where m is true.

    i = Transpose(NonZero(m));  ScatterND(r, i, f(GatherND(v, i), ...))   ->   Where(m, f(v, ...), r)

f is any chain of elementwise operators, of numbers and of values gathered by the same mask. NonZero's size depends on data: TensorRT-RTX
has none ("plugin creator version 1 was not found"), and other engines wait for the size before they go on. Colour conversions are full
of such writes. What f gives outside the mask, NaN or infinity included, is not taken.

Refused, and left as it is: values gathered by another mask, or not elementwise; whole numbers that are divided, since a 0 outside the
mask would stop the program; shapes that are not known to be the mask's.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from ..graph.roundtrip import edited

_ELEMENTWISE = {
    "Abs", "Add", "And", "Atan", "Cast", "Ceil", "Clip", "Cos", "Equal", "Erf", "Exp", "Floor", "Greater", "GreaterOrEqual", "Identity",
    "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Round", "Sigmoid",
    "Sign", "Sin", "Softplus", "Sqrt", "Sub", "Tan", "Tanh", "Where",
}  # fmt: skip
_FLOATS_ALONE = {"Div", "Mod"}


def masked_writes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with such writes as Where, under the names of the ScatterNDs.

    ``model`` is not changed; where there is none, it is returned.
    """
    if not {"NonZero", "ScatterND"} <= {node.op_type for node in model.graph.node}:
        return model
    graph = gs.import_onnx(model)
    known: dict[tuple[str, str], Any] = {}
    writes = [write for node in graph.nodes if node.op == "ScatterND" and (write := _Write.of(node, known)) is not None]
    changed = [write.choose(graph) for write in writes]
    if not any(changed):
        return model
    graph.cleanup().toposort()
    return edited(graph, model)


class _Write:
    """A ScatterND at the places of a mask, all of whose axes are the first ones of the data.

    ``known``: what earlier writes have everywhere, by the mask's name and the value's.
    """

    def __init__(self, node: Any, mask: Any, known: dict[tuple[str, str], Any]) -> None:
        self.node, self.mask, self._known = node, mask, known
        self.data, _, self.values = node.inputs
        self.rest = tuple(self.data.shape[len(mask.shape) :])
        self._new: dict[tuple[str, str], Any] = {}
        self._made: list[Any] = []

    @classmethod
    def of(cls, node: Any, known: dict[tuple[str, str], Any]) -> _Write | None:
        """None where something else than a mask says where."""
        mask = _narrow(_mask(node.inputs[1]), node.inputs[0])
        plain = node.attrs.get("reduction", "none") == "none"
        return cls(node, mask, known) if mask is not None and plain and _covers(mask, node.inputs[0]) else None

    def choose(self, graph: Any) -> bool:
        """Put Where in place of the write, if its values can be had everywhere."""
        whole = self._everywhere(self._spread(self.values))
        if whole is None:
            return False
        condition = self.mask
        if self.rest:
            axes = np.arange(len(self.mask.shape), len(self.data.shape))
            condition = gs.Variable(f"{self.node.name}/mask", np.bool_, [*self.mask.shape, *[1] * len(self.rest)])
            given = [self.mask, gs.Constant(f"{self.node.name}/axes", axes)]
            self._made.append(gs.Node("Unsqueeze", f"{self.node.name}/mask", inputs=given, outputs=[condition]))
        graph.nodes.extend(self._made)
        self._known.update(self._new)
        self.node.op, self.node.attrs = "Where", {}
        self.node.inputs = [condition, whole, self.data]
        return True

    def _spread(self, value: Any) -> Any:
        """The values before an exporter brought them to the shape of what is written, (number of places, rest...)."""
        while (node := _producer(value)) is not None and node.op in ("Expand", "Reshape"):
            before = node.inputs[0]
            if _size(before) != 1 and not (
                before.shape is not None
                and len(before.shape) == 1 + len(self.rest)
                and tuple(before.shape[1:]) == self.rest
            ):
                break
            value = before
        return value

    def _everywhere(self, value: Any) -> Any:
        """The value at all places, of which ``value`` has those of the mask; a single number as it is; None where it cannot be had."""
        if _size(value) == 1 and len(value.shape) <= 1:
            return value
        key = (self.mask.name, value.name)
        if (known := self._new.get(key, self._known.get(key))) is not None:
            return known
        node = _producer(value)
        if node is None or node.domain not in ("", "ai.onnx", None):
            return None
        if node.op == "GatherND":
            same = not node.attrs.get("batch_dims", 0) and _mask(node.inputs[1]) is self.mask
            return node.inputs[0] if same and self._alike(node.inputs[0]) else None
        floats = value.dtype is not None and np.dtype(value.dtype).kind == "f"
        if node.op not in _ELEMENTWISE and not (node.op in _FLOATS_ALONE and floats):
            return None
        inputs = [each if each.is_empty() else self._everywhere(each) for each in node.inputs]
        if any(each is None for each in inputs):
            return None
        name = f"{node.name}/everywhere"
        whole = gs.Variable(name, value.dtype, [*self.mask.shape, *self.rest])
        self._made.append(gs.Node(node.op, name, dict(node.attrs), inputs, [whole]))
        self._new[key] = whole
        return whole

    def _alike(self, source: Any) -> bool:
        return _covers(self.mask, source) and tuple(source.shape[len(self.mask.shape) :]) == self.rest


def _mask(places: Any) -> Any:
    """The mask whose true places these are; None where they come from elsewhere."""
    transpose = _producer(places)
    if transpose is None or transpose.op != "Transpose" or list(transpose.attrs.get("perm", [1, 0])) != [1, 0]:
        return None
    nonzero = _producer(transpose.inputs[0])
    mask = nonzero.inputs[0] if nonzero is not None and nonzero.op == "NonZero" else None
    return mask if mask is not None and mask.dtype == np.bool_ and mask.shape else None


def _narrow(mask: Any, data: Any) -> Any:
    """The mask before it was brought to the shape of the data: that has its axes first, and the mask is the same along the others."""
    if mask is None or (expand := _producer(mask)) is None or expand.op != "Expand" or data.shape is None:
        return mask
    narrow = expand.inputs[0]
    while (node := _producer(narrow)) is not None and node.op == "Unsqueeze" and narrow.shape and narrow.shape[-1] == 1:
        narrow = node.inputs[0]
    filled = [*(narrow.shape or ()), *[1] * (len(data.shape) - len(narrow.shape or ()))]
    fits = narrow.shape and expand.inputs[0].shape is not None and list(expand.inputs[0].shape) == filled
    return narrow if fits and _covers(narrow, data) and tuple(mask.shape) == tuple(data.shape) else mask


def _covers(mask: Any, data: Any) -> bool:
    """Whether the mask's axes are known to be the first axes of the data."""
    return data.shape is not None and tuple(data.shape[: len(mask.shape)]) == tuple(mask.shape)


def _producer(value: Any) -> Any:
    return value.inputs[0] if len(value.inputs) == 1 else None


def _size(value: Any) -> int | None:
    """How many numbers there are, where that is known."""
    known = value.shape is not None and all(isinstance(axis, int) for axis in value.shape)
    return prod(value.shape) if known else None
