"""Nodes out of the reference sweep: any operator with its attributes, joined to what the graph has computed.

ONNX Runtime evaluates such a node by itself, in FP32 and without optimisations: the sweep records that the reference agrees.
Attributes are crossed between cases of one operator now and then, which the sweep does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import defs, helper
from onnx.reference import ReferenceEvaluator

from attnexport.benchmarks.reference_sweep.case import Case, typed
from attnexport.benchmarks.reference_sweep.draws import Draw
from attnexport.benchmarks.reference_sweep.families import generated
from attnexport.benchmarks.reference_sweep.judge import Verdict
from attnexport.benchmarks.reference_sweep.record import read

from .sketch import TYPES, Rejected, Sketch

_RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Dropout",
}
_READ_AT_RUN = {"normal", "large", "positive", "unit", "above1"}
"""Kinds of floats that the graph computes; others are weights."""


@cache
def known() -> dict[tuple[str, int], list[Case]]:
    """The cases that the sweep agrees on, by operator and version of it."""
    agreed = {key for key, outcome in read().items() if outcome.verdict is Verdict.AGREE}
    found: dict[tuple[str, int], list[Case]] = {}
    for case in generated():
        if case.key in agreed and case.operator not in _RANDOM and not case.body and not case.nodes and _plain(case):
            found.setdefault((case.operator, since(case.operator, case.opset)), []).append(case)
    return found


@cache
def since(operator: str, opset: int) -> int:
    """The opset that defined the version of the operator in use at ``opset``."""
    return int(defs.get_schema(operator, opset).since_version)


@cache
def _at(opset: int) -> list[tuple[str, int]]:
    found = []
    for operator, version in known():
        try:
            if since(operator, opset) == version:
                found.append((operator, version))
        except defs.SchemaError:
            continue
    return sorted(found)


def _plain(case: Case) -> bool:
    dtypes = [value.dtype for value in case.inputs if value is not None]
    return all(np.dtype(d).name in (*TYPES, "float32") and np.dtype(d).name != "float64" for d in dtypes)


def block(s: Sketch) -> None:
    """One node. Its first float inputs are computed by the graph, brought to the shapes that the case has."""
    if s.free:
        raise Rejected("sizes are fixed")
    operator, version = s.one(_at(s.opset))
    cases = known()[operator, version]
    case = s.one(cases)
    attributes = dict(case.attributes)
    if attributes and s.flip(0.3):
        name = s.one(sorted(attributes))
        others = [other.attributes[name] for other in cases if name in other.attributes]
        attributes[name] = s.one(others)
    inputs, joined = [], 0
    for value in case.inputs:
        if value is None:
            inputs.append("")
            continue
        at_run = isinstance(value, Draw) and value.dtype == "float32" and value.kind in _READ_AT_RUN
        if at_run and joined < 2 and s.flip(0.9):
            inputs.append(_computed(s, value))
            joined += 1
        else:
            array = value.array(s.rng) if isinstance(value, Draw) else value
            inputs.append(s.const(array, array.dtype))
    if not joined:
        raise Rejected("nothing of it is computed")
    outputs = len(case.outputs)
    s.exact = False
    s.op(operator, inputs, _alone(s, operator, inputs, attributes, case), outputs, **attributes)
    node = s.nodes[-1]
    for i, name in enumerate(case.outputs):
        if not name:
            node.output[i] = ""
    s.keep(*(name for name in node.output if name and s.values[name].dtype.kind in "fib"))


def _computed(s: Sketch, draw: Draw) -> str:
    """A value of the graph in the shape, and within the bounds, that the case draws."""
    count = int(np.prod(draw.shape))
    x = s.pick()
    flat = s.op("Reshape", [x, s.ints(-1)], lambda v, _: v.reshape(-1))
    have = s.values[flat].size
    if have < count:
        times = -(-count // have)
        flat = s.op("Tile", [flat, s.ints(times)], np.tile)
    if times_cut := s.values[flat].size - count:
        end = count if times_cut else have
        if s.opset < 10:
            flat = s.op("Slice", [flat], lambda v: v[:end], starts=[0], ends=[end], axes=[0])
        else:
            flat = s.op("Slice", [flat, s.ints(0), s.ints(end), s.ints(0)], lambda v, *_: v[:end])
    y = s.op("Reshape", [flat, s.ints(*draw.shape)], lambda v, t: v.reshape(t)) if len(draw.shape) else flat
    if draw.shape == ():
        y = s.op("Reshape", [flat, s.const(np.zeros(0), np.int64)], lambda v, _: v.reshape(()))
    if draw.kind == "unit":
        return s.op("Mul", [s.op("Tanh", [y], np.tanh), s.const(0.95)], np.multiply)
    if draw.kind in ("positive", "above1"):
        least = 0.1 if draw.kind == "positive" else 1.05
        return s.op("Add", [s.op("Abs", [y], np.abs), s.const(least)], np.add)
    return y


def _alone(s: Sketch, operator: str, inputs: list[str], attributes: dict[str, Any], case: Case) -> Callable[..., Any]:
    """The node by itself in ONNX Runtime."""
    names = [f"x{i}" if name else "" for i, name in enumerate(inputs)]
    node = helper.make_node(operator, names, list(case.outputs), **attributes)
    opset = s.opset
    dtypes = [np.dtype(v.dtype) if v is not None else None for v in case.inputs]
    sessions: list[onnxruntime.InferenceSession] = []

    def start(arrays: list[np.ndarray | None]) -> onnxruntime.InferenceSession:
        values = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays, strict=True)
            if array is not None
        ]
        results = [onnx.ValueInfoProto(name=name) for name in case.outputs if name]
        try:
            model = typed(helper.make_graph([node], "one", values, results), opset)
            return session(model)
        except Exception as error:  # crossed attributes: neither runs it
            raise Rejected(str(error)) from error

    def function(*values: np.ndarray | None) -> tuple[Any, ...]:
        arrays = [None if v is None else np.asarray(v).astype(d) for v, d in zip(values, dtypes, strict=True)]
        if not sessions:
            sessions.append(start(arrays))
        feeds = {name: array for name, array in zip(names, arrays, strict=True) if name}
        try:
            results = iter(sessions[0].run(None, feeds))
        except Exception as error:
            raise Rejected(str(error)) from error
        found = tuple(next(results) if name else None for name in case.outputs)
        if s.wide:
            found = _wider(node, opset, names, values, found)
        if any(
            f is not None and (not isinstance(f, np.ndarray) or f.dtype.name not in (*TYPES, "float32")) for f in found
        ):
            raise Rejected("not a plain tensor")
        if not s.wide and any(f is not None and f.dtype == np.float64 for f in found):
            raise Rejected("FP64")
        return found

    return function


def _wider(
    node: onnx.NodeProto, opset: int, names: list[str], values: tuple[Any, ...], found: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The node by onnx's reference evaluator in FP64, where it raises nothing and is within rounding of ``found``."""
    given = {name: value for name, value in zip(names, values, strict=True) if name}
    kinds = {name: helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype) for name, value in given.items()}
    inputs = [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in node.output if name]
    graph = helper.make_graph([node], "one", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    try:
        results = iter(ReferenceEvaluator(model).run(None, given))
        wide = tuple(next(results) if name else None for name in node.output)
        close = [
            a is None or np.allclose(np.asarray(a).astype(b.dtype), b, 1e-4, 1e-5, equal_nan=True)
            for a, b in zip(wide, found, strict=True)
        ]
    except Exception:  # it lacks the operator, or fails
        return found
    return wide if all(close) else found


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """ONNX Runtime's CPU provider on one thread, without optimisations."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


KINDS = (block,)
