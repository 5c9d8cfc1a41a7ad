"""Replace writes at the places of a mask by Where.

``r[m] = v[m] * 2`` becomes ``where(m, v * 2, r)``: v * 2 is computed everywhere and used where m is true.

    i = Transpose(NonZero(m));  ScatterND(r, i, f(GatherND(v, i), ...))   ->   Where(m, f(v, ...), r)

f is any chain of elementwise operators on numbers and on values gathered by the same mask. The size of NonZero's output
depends on data: TensorRT-RTX has no NonZero ("plugin creator version 1 was not found"), and other engines wait for the size
before they continue. Colour conversions are full of such writes. Results of f outside the mask, NaN or infinity
included, are not used.

The pass refuses values gathered by another mask, operators that are not elementwise, divisions of integers (a 0 outside
the mask would stop the program), and shapes that are not known to be the mask's.
"""

from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from ..graph.model import export_graph
from ..graph.rewrites import Refusal, Rewrite, Simplified
from ..graph.shapes import producer

_ELEMENTWISE = {
    "Abs", "Add", "And", "Atan", "Cast", "Ceil", "Clip", "Cos", "Equal", "Erf", "Exp", "Floor", "Greater", "GreaterOrEqual", "Identity",
    "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Round", "Sigmoid",
    "Sign", "Sin", "Softplus", "Sqrt", "Sub", "Tan", "Tanh", "Where",
}  # fmt: skip
_FLOATS_ONLY = {"Div", "Mod"}
_RULE = "masked_writes"


def masked_writes(model: onnx.ModelProto) -> Simplified:
    """Replace such ScatterNDs by Wheres of the same name. ``model`` is not changed; it is returned if nothing is replaced."""
    if not {"NonZero", "ScatterND"} <= {node.op_type for node in model.graph.node}:
        return Simplified(model)
    graph = gs.import_onnx(model)
    known: dict[tuple[str, str], Any] = {}
    applied, refused = [], []
    for node in [node for node in graph.nodes if node.op == "ScatterND"]:
        mask = _mask(node.inputs[1])
        if mask is None:
            continue
        name = node.name or node.outputs[0].name
        mask = _narrow(mask, node.inputs[0])
        reason = _refuse(node, mask)
        if reason is None and not _Write(node, mask, known).choose(graph):
            reason = "its values are not computed elementwise from values of the same mask"
        if reason is None:
            applied.append(Rewrite(_RULE, name, f"Where of {mask.name}"))
        else:
            refused.append(Refusal(_RULE, name, reason))
    if not applied:
        return Simplified(model, (), tuple(refused))
    graph.cleanup().toposort()
    return Simplified(export_graph(graph, model), tuple(applied), tuple(refused))


def _refuse(node: Any, mask: Any) -> str | None:
    if node.attrs.get("reduction", "none") != "none":
        return "it reduces values instead of writing them"
    if not _covers(mask, node.inputs[0]):
        return "the mask's axes are not known to be the first axes of the data"
    return None


class _Write:
    """A ScatterND at the places of a mask whose axes are the first axes of the data.

    ``known`` holds the values that earlier writes compute everywhere, by the names of mask and value.
    """

    def __init__(self, node: Any, mask: Any, known: dict[tuple[str, str], Any]) -> None:
        self.node, self.mask, self._known = node, mask, known
        self.data, _, self.values = node.inputs
        self.rest = tuple(self.data.shape[len(mask.shape) :])
        self._new: dict[tuple[str, str], Any] = {}
        self._nodes: list[Any] = []

    def choose(self, graph: Any) -> bool:
        """Turn the write into Where; return False and change nothing if its values cannot be computed everywhere."""
        whole = self._everywhere(self._spread(self.values))
        if whole is None:
            return False
        condition = self.mask
        if self.rest:
            axes = np.arange(len(self.mask.shape), len(self.data.shape))
            condition = gs.Variable(f"{self.node.name}/mask", np.bool_, [*self.mask.shape, *[1] * len(self.rest)])
            inputs = [self.mask, gs.Constant(f"{self.node.name}/axes", axes)]
            self._nodes.append(gs.Node("Unsqueeze", f"{self.node.name}/mask", inputs=inputs, outputs=[condition]))
        graph.nodes.extend(self._nodes)
        self._known.update(self._new)
        self.node.op, self.node.attrs = "Where", {}
        self.node.inputs = [condition, whole, self.data]
        return True

    def _spread(self, value: Any) -> Any:
        """The values before an exporter expanded them to the shape of the write, (number of places, rest...)."""
        while (node := producer(value)) is not None and node.op in ("Expand", "Reshape"):
            before = node.inputs[0]
            shape = tuple(before.shape or ())
            if _size(before) != 1 and (len(shape) != 1 + len(self.rest) or shape[1:] != self.rest):
                break
            value = before
        return value

    def _everywhere(self, value: Any) -> Any:
        """Compute ``value``, which covers the places of the mask, at all places. None if that is not possible.

        A single number is returned unchanged.
        """
        if _size(value) == 1 and len(value.shape) <= 1:
            return value
        key = (self.mask.name, value.name)
        if (known := self._new.get(key, self._known.get(key))) is not None:
            return known
        node = producer(value)
        if node is None or node.domain not in ("", "ai.onnx", None):
            return None
        if node.op == "GatherND":
            same = not node.attrs.get("batch_dims", 0) and _mask(node.inputs[1]) is self.mask
            return node.inputs[0] if same and self._alike(node.inputs[0]) else None
        floats = value.dtype is not None and np.dtype(value.dtype).kind == "f"
        if node.op not in _ELEMENTWISE and not (node.op in _FLOATS_ONLY and floats):
            return None
        inputs = [x if x.is_empty() else self._everywhere(x) for x in node.inputs]
        if any(x is None for x in inputs):
            return None
        name = f"{node.name}/everywhere"
        whole = gs.Variable(name, value.dtype, [*self.mask.shape, *self.rest])
        self._nodes.append(gs.Node(node.op, name, dict(node.attrs), inputs, [whole]))
        self._new[key] = whole
        return whole

    def _alike(self, source: Any) -> bool:
        return _covers(self.mask, source) and tuple(source.shape[len(self.mask.shape) :]) == self.rest


def _mask(places: Any) -> Any:
    """The mask whose true places these are; None if they are computed in another way."""
    transpose = producer(places)
    if transpose is None or transpose.op != "Transpose" or list(transpose.attrs.get("perm", [1, 0])) != [1, 0]:
        return None
    nonzero = producer(transpose.inputs[0])
    mask = nonzero.inputs[0] if nonzero is not None and nonzero.op == "NonZero" else None
    return mask if mask is not None and mask.dtype == np.bool_ and mask.shape else None


def _narrow(mask: Any, data: Any) -> Any:
    """The mask before it was expanded to the shape of the data along the data's last axes."""
    if (expand := producer(mask)) is None or expand.op != "Expand" or data.shape is None:
        return mask
    narrow = expand.inputs[0]
    while (node := producer(narrow)) is not None and node.op == "Unsqueeze" and narrow.shape and narrow.shape[-1] == 1:
        narrow = node.inputs[0]
    filled = [*(narrow.shape or ()), *[1] * (len(data.shape) - len(narrow.shape or ()))]
    fits = narrow.shape and expand.inputs[0].shape is not None and list(expand.inputs[0].shape) == filled
    return narrow if fits and _covers(narrow, data) and tuple(mask.shape) == tuple(data.shape) else mask


def _covers(mask: Any, data: Any) -> bool:
    """Whether the mask's axes are known to be the first axes of the data."""
    return data.shape is not None and tuple(data.shape[: len(mask.shape)]) == tuple(mask.shape)


def _size(value: Any) -> int | None:
    """The number of values; None if it is not known."""
    known = value.shape is not None and all(isinstance(axis, int) for axis in value.shape)
    return prod(value.shape) if known else None
