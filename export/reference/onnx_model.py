"""The truth of a model that came as ONNX: its own graph, every float widened to FP64, evaluated by onnx's reference evaluator.

FP32: the graph as it came, on ONNX Runtime without optimizations. FP16 and BF16: the graph with every float rounded and nothing kept,
under emulation: what a plain conversion would give.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.inliner import inline_local_functions
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from ...errors import StageError, first_line
from ...runtime.sessions import Session
from ...runtime.sessions.emulated import EmulatedSession
from ...runtime.sessions.large_model import open_model
from ..domain.sampling import sample
from ..precision.casts import to_half_model
from ..quiet import quiet
from .original import Arrays, Precision

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}
# Inputs that the standard types as float32 whatever the data is.
_FLOAT32_INPUTS = {("Resize", 2), ("Upsample", 1)}
_GRID_MODES = {"linear": "bilinear", "cubic": "bicubic"}
"""Opset 20 spells GridSample's modes anew."""


class GridSample(OpRun):
    """onnx's own computes in FP32 and knows the modes of opset 20 alone; this is the domain's reference, in FP64."""

    op_domain = ""

    def _run(
        self,
        x: np.ndarray,
        grid: np.ndarray,
        mode: str | None = None,
        padding_mode: str | None = None,
        align_corners: int | None = None,
    ) -> tuple[np.ndarray]:
        mode = mode or "bilinear"
        wanted = {"mode": _GRID_MODES.get(mode, mode), "padding_mode": padding_mode or "zeros"}
        return (sample(x, grid, **wanted, align_corners=align_corners or 0),)


class OnnxOriginal:
    """See :class:`~.original.Original`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._names = [output.name for output in model.graph.output]
        self._double: ReferenceEvaluator | None = None
        self._sessions: dict[Precision, Session] = {}
        self.notes: list[str] = []
        self.further: Mapping[str, Callable[[Arrays], dict[str, np.ndarray]]] = {}

    def run(self, feeds: Arrays, precision: Precision) -> dict[str, np.ndarray]:
        """FP64 results come as float64. Raises StageError for an operator that the reference evaluator lacks."""
        if precision in self.further:
            return self.further[precision](feeds)
        if precision != "float64":
            return self._session(precision).run(feeds)
        if self._double is None:
            self._double = _evaluator(widen(self._model))
        return _evaluate(self._double, self._names, feeds)

    def with_precision(self, precision: Precision, evaluate: Callable[[Arrays], dict[str, np.ndarray]]) -> OnnxOriginal:
        """See :class:`~.original.Original`."""
        other = copy.copy(self)
        other.further = {**self.further, precision: evaluate}
        return other

    @property
    def model(self) -> onnx.ModelProto:
        """The graph as it came."""
        return self._model

    def tensor_names(self) -> frozenset[str]:
        """All tensors that nodes of the main graph make."""
        return frozenset(name for node in self._model.graph.node for name in node.output if name)

    def tensors(self, feeds: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Tensors of the main graph in FP64. Raises StageError for an operator that the reference evaluator lacks."""
        wide = widen(self._model)
        del wide.graph.output[:]
        wide.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        return _evaluate(_evaluator(wide), names, feeds)

    def _session(self, precision: Precision) -> Session:
        if precision not in self._sessions:
            if precision == "float32":
                self._sessions[precision] = open_model(self._model, optimize=False)
            else:
                typed = to_half_model(self._model, (), "bf16" if precision == "bfloat16" else "fp16")
                self._sessions[precision] = EmulatedSession(typed)
        return self._sessions[precision]


def _evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    try:
        with quiet():
            return ReferenceEvaluator(model, new_ops=[GridSample])
    except Exception as error:
        raise _refusal(error) from error


def _evaluate(evaluator: ReferenceEvaluator, names: Sequence[str], feeds: Arrays) -> dict[str, np.ndarray]:
    wide = {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in feeds.items()}
    try:
        with quiet(), np.errstate(all="ignore"):
            results = evaluator.run(None, wide)
    except Exception as error:
        raise _refusal(error) from error
    return {name: np.asarray(value) for name, value in zip(names, results, strict=True)}


def _refusal(error: Exception) -> StageError:
    return StageError("verify", f"the graph cannot be evaluated in FP64: {first_line(error)}", "pass the PyTorch model")


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` in which every float tensor is float64; local functions are inlined. Values stay exact."""
    wide = inline_local_functions(model)
    _widen_graph(wide.graph)
    del wide.graph.value_info[:]
    return wide


def _widen_graph(graph: onnx.GraphProto) -> None:
    narrow = {n.input[i] for n in graph.node for op, i in _FLOAT32_INPUTS if n.op_type == op and i < len(n.input)}
    for tensor in graph.initializer:
        if tensor.name not in narrow:
            tensor.CopyFrom(_wide_tensor(tensor))
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type
        if kind.elem_type in _FLOATS:
            kind.elem_type = TensorProto.DOUBLE
    for node in graph.node:
        _widen_attributes(node, set(node.output) <= narrow)


def _widen_attributes(node: onnx.NodeProto, narrow: bool) -> None:
    attributes: list[onnx.AttributeProto] = []
    for attribute in node.attribute:
        if attribute.type == attribute.GRAPH:
            _widen_graph(attribute.g)
        elif attribute.type == attribute.TENSOR and not narrow:
            attribute.t.CopyFrom(_wide_tensor(attribute.t))
        elif attribute.name in {"to", "dtype"} and attribute.i in _FLOATS:
            attribute.i = TensorProto.DOUBLE
        elif node.op_type == "Constant" and attribute.name in {"value_float", "value_floats"} and not narrow:
            attribute = helper.make_attribute("value", _constant(attribute))
        attributes.append(attribute)
    if node.op_type == "ConstantOfShape" and not attributes:
        attributes.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1), "")))
    copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in attributes]
    del node.attribute[:]
    node.attribute.extend(copies)


def _constant(attribute: onnx.AttributeProto) -> TensorProto:
    values: float | Iterable[float] = attribute.f if attribute.name == "value_float" else list(attribute.floats)
    # The stored values are FP32: what is widened is what the graph says, not the decimal that it was written from.
    return numpy_helper.from_array(np.asarray(values, np.float32).astype(np.float64), "")


def _wide_tensor(tensor: TensorProto) -> TensorProto:
    if tensor.data_type not in _FLOATS:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
