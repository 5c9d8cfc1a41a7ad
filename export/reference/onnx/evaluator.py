"""Evaluates an ONNX graph in FP64, node by node, whatever its size.

Each node is evaluated by the first of these that has its form:

    1. a kernel of this folder, on float64 tensors
    2. ONNX Runtime's kernel in double, on a model of one node; operators without floats run there as they are
    3. the function body that the standard gives for the operator, evaluated in the same way
    4. ONNX Runtime's kernel in FP32 on rounded inputs; a note then names the operator
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.inliner import inline_local_functions

from ....errors import StageError, first_line
from ....runtime import whereabouts
from ....runtime.sessions.large_model import without_weights
from .agreement import Agreement
from .call import Array, Call, NotCovered, Value, attributes_of, tensor_value, widened
from .control import CONTROL
from .function_body import function_body
from .kernels import KERNELS
from .one_node import OneNodeSessions
from .plan import Step, bodies, plan
from .selections import SELECTIONS

_CACHED = 2**30
"""Bytes of weights in FP64 that stay in memory from one run to the next; more are widened for each use."""

MOST_TRIPS = 100_000
"""Of all bodies of Loop and Scan together, in one run. A file may ask for 10^15."""


class Evaluator:
    """One model. ``notes`` name the operators that were not evaluated in FP64."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = _inlined(model)
        self._opsets = {_domain(o.domain): o.version for o in model.opset_import}
        self._sessions = OneNodeSessions()
        self._plans: dict[tuple[int, frozenset[str]], tuple[Step, ...]] = {}
        self._weights: dict[int, _Weights] = {}
        self._doubles = _double_names(self._model.graph)
        self._noted: dict[str, str] = {}
        self._agreement = Agreement(self._sessions)
        self._runs = 0
        self._trips = 0

    @property
    def notes(self) -> list[str]:
        """What is not FP64, and where ONNX Runtime is known to differ; one line for each operator."""
        return [*self._noted.values(), *self._agreement.notes.values()]

    @property
    def loops(self) -> bool:
        """Whether the model has a Loop, which may not end."""
        return _has_loop(self._model.graph)

    def run(self, feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Value]:
        """The tensors ``names`` of the main graph, in order. The first run checks the nodes (:mod:`.agreement`).

        Raises StageError if no evaluator has an operator, if ONNX Runtime defines one otherwise, or if a loop does not end.
        """
        self._trips = 0
        values = {name: widened(array) for name, array in feeds.items()}
        with np.errstate(all="ignore"):
            results = self._graph(self._model.graph, values, None, names)
        self._runs += 1
        return dict(zip(names, results, strict=True))

    def _graph(
        self, graph: onnx.GraphProto, values: dict[str, Value], outer: "_Scope | None", names: Sequence[str]
    ) -> list[Value]:
        if id(graph) not in self._weights:
            self._weights[id(graph)] = _Weights(graph)
        key = (id(graph), frozenset(names))
        if key not in self._plans:
            self._plans[key] = plan(graph, key[1])
        scope = _Scope(values, outer, self._weights[id(graph)])
        for step in self._plans[key]:
            self._node(step.node, step.attributes, scope, self._opsets)
            for name in step.done:
                scope.values.pop(name, None)
        return [scope.get(name) for name in names]

    def _node(
        self, node: onnx.NodeProto, attributes: Mapping[str, Any], scope: "_Scope", opsets: Mapping[str, int]
    ) -> None:
        inputs = tuple(scope.get(name) if name else None for name in node.input)
        call = Call(node, opsets.get(_domain(node.domain), 1), inputs, attributes)
        outputs = self.call(call, scope, [name in self._doubles for name in node.input])
        for name, value in zip(node.output, outputs):  # noqa: B905  # a kernel may return more than is read
            if name:
                scope.values[name] = np.asarray(value) if isinstance(value, np.generic) else value

    def call(self, call: Call, scope: "_Scope | None" = None, doubles: Sequence[bool] = ()) -> Sequence[Value]:
        """The outputs of one call. Raises StageError if nothing evaluates it."""
        node, domain = call.node, _domain(call.node.domain)
        whereabouts.at_work("node", node.name or node.output[0], f"({node.op_type}) in FP64")
        try:
            if not domain and node.op_type in CONTROL:
                return CONTROL[node.op_type](call, lambda graph, values: self._body(call, graph, values, scope))
            for attempt, independent in self._attempts(domain, node.op_type):
                try:
                    outputs = attempt(call)
                except NotCovered:
                    continue
                if independent and self._runs == 0 and not any(doubles):
                    self._agreement.check(call, outputs, attempt)
                return outputs
            return self._in_single(call, doubles)
        except (StageError, NotCovered):
            raise
        except Exception as error:
            raise self._refusal(call, first_line(error)) from error

    def _attempts(self, domain: str, op: str) -> Iterator[tuple[Callable[[Call], Sequence[Value]], bool]]:
        """What may evaluate an operator in FP64, in order, and whether ONNX Runtime's FP32 kernel is independent of it."""
        if not domain and op in SELECTIONS:
            yield lambda call: SELECTIONS[op](call, lambda inner: self._sessions.run(inner, "single")), False
        if (domain, op) in KERNELS:
            yield KERNELS[domain, op], True
        yield lambda call: self._sessions.run(call, "double"), False
        yield self._function, True

    def _in_single(self, call: Call, doubles: Sequence[bool]) -> Sequence[Value]:
        try:
            outputs = self._sessions.run(call, "single", doubles)
        except NotCovered as error:
            raise self._refusal(call, str(error)) from error
        if not _exact(call.inputs) or any(_is_float(value) for value in outputs):
            name = ".".join(filter(None, (call.node.domain, call.node.op_type)))
            self._noted[name] = (
                f"{name} is evaluated by ONNX Runtime in FP32: neither ONNX Runtime nor attnexport has it in FP64, so the "
                "reference has FP32's rounding there"
            )
        return outputs

    def _function(self, call: Call) -> Sequence[Value]:
        function = function_body(call)
        if function is None:
            raise NotCovered
        opsets = {_domain(o.domain): o.version for o in function.opset_import} or self._opsets
        values = dict(zip(function.input, call.inputs))  # noqa: B905  # trailing inputs may be left out
        scope = _Scope({name: values.get(name) for name in function.input}, None, None)
        for node in function.node:
            self._node(node, attributes_of(node), scope, opsets)
        return [scope.get(name) for name in function.output]

    def _body(self, call: Call, graph: onnx.GraphProto, values: Sequence[Value], outer: "_Scope | None") -> list[Value]:
        self._trips += 1
        if self._trips > MOST_TRIPS:
            raise StageError(
                "verify",
                f"node {call.node.name or call.node.output[0]!r} ({call.node.op_type}) does not end: bodies ran "
                f"{MOST_TRIPS:,} times for one input",
                "give inputs with which it ends sooner, with --input or --samples",
            )
        inner = dict(zip((value.name for value in graph.input), values))  # noqa: B905  # trailing inputs may be left out
        return self._graph(graph, inner, outer, [value.name for value in graph.output])

    def _refusal(self, call: Call, reason: str) -> StageError:
        return StageError(
            "verify",
            f"node {call.node.name!r} ({call.node.op_type}) cannot be evaluated: {reason}",
            "pass the PyTorch model",
        )


class _Weights:
    """The initializers of a graph, widened when they are read. Holds the graph, whose identity is its key elsewhere."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
        self._held: dict[str, Array] = {}
        self._bytes = 0

    def get(self, name: str) -> Array | None:
        """The weight, None if the graph has none of that name."""
        if name in self._held:
            return self._held[name]
        if name in self._sparse:
            array = _dense(self._sparse[name])
        elif name in self._tensors:
            array = tensor_value(self._tensors[name])
        else:
            return None
        if self._bytes + array.nbytes <= _CACHED:
            self._held[name] = array
            self._bytes += array.nbytes
        return array


class _Scope:
    """The tensors of one graph while it runs, in front of those of the graph around it."""

    def __init__(self, values: dict[str, Value], outer: "_Scope | None", weights: _Weights | None) -> None:
        self.values, self._outer, self._weights = values, outer, weights

    def get(self, name: str) -> Value:
        """The tensor. Raises StageError if there is none."""
        if name in self.values:
            return self.values[name]
        weight = self._weights.get(name) if self._weights is not None else None
        if weight is not None:
            return weight
        if self._outer is None:
            raise StageError("verify", f"tensor {name!r} of the graph has no value", "check the model's inputs")
        return self._outer.get(name)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without local functions; its weights are not copied by the inliner, which has a limit of 2 GB."""
    if not model.functions:
        return model
    light: onnx.ModelProto = inline_local_functions(without_weights(model))
    light.graph.initializer.extend(model.graph.initializer)
    return light


def _dense(tensor: onnx.SparseTensorProto) -> Array:
    values = widened(numpy_helper.to_array(tensor.values))
    places = numpy_helper.to_array(tensor.indices)
    result = np.zeros(tuple(tensor.dims), values.dtype)
    index = np.unravel_index(places, result.shape) if places.ndim == 1 else tuple(places.T)
    result[index] = values
    return result


def _double_names(graph: onnx.GraphProto) -> frozenset[str]:
    """The tensors that the file itself types as double, as far as it says so."""
    names = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.DOUBLE}
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            names.add(value.name)
    for node in graph.node:
        if node.op_type == "Cast" and any(a.i == TensorProto.DOUBLE for a in node.attribute if a.name == "to"):
            names.update(node.output)
        for body in bodies(node):
            names |= _double_names(body)
    return frozenset(names)


def _has_loop(graph: onnx.GraphProto) -> bool:
    return any(node.op_type == "Loop" or any(map(_has_loop, bodies(node))) for node in graph.node)


def _is_float(value: Value) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64


def _exact(inputs: Sequence[Value]) -> bool:
    """Whether FP32 holds every float input exactly."""
    return all(np.array_equal(v.astype(np.float32), v, equal_nan=True) for v in inputs if _is_float(v))
