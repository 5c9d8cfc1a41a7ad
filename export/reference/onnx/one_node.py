"""ONNX Runtime's kernel of one operator, run on a model that contains one node.

Signatures are cached: nodes with the same operator, attributes and input types share a session.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ....errors import AttnexportError
from ....runtime.sessions.ort import OrtSession
from .call import EMPTY, FLOATS, Array, Call, NotCovered, Value, widened

Width = Literal["double", "single"]
_KINDS = {"double": (TensorProto.DOUBLE, np.float64), "single": (TensorProto.FLOAT, np.float32)}
_TYPED = frozenset({"to", "dtype", "output_datatype"})
_LATEST_IR = 10
_SMALL = 4096
"""Elements up to which an input may be written into the model: some kernels read theirs when they are made."""
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
"""Their kernels draw other numbers in each run: a session of its own draws what the model's first run draws."""


class OneNodeSessions:
    """Runs nodes with ONNX Runtime's kernels in double or in single precision."""

    def __init__(self) -> None:
        self._sessions: dict[Any, OrtSession | str] = {}

    def run(self, call: Call, width: Width, doubles: Sequence[bool] = ()) -> list[Value]:
        """The outputs, floats widened. Raises NotCovered, with ONNX Runtime's reason, if it has no such kernel.

        ``doubles``: for each input whether the file types it as double, which single precision then keeps.
        """
        feeds = {
            f"i{n}": _narrow(value, "double" if n < len(doubles) and doubles[n] else width)
            for n, value in enumerate(call.inputs)
            if value is not None
        }
        reason = ""
        for constant in (False, True):
            held = {k: v for k, v in feeds.items() if constant and isinstance(v, np.ndarray) and v.size <= _SMALL}
            try:
                session = self._session(call, width, feeds, held)
                values = session.run({k: v for k, v in feeds.items() if k not in held})
            except AttnexportError as error:
                reason = reason or error.problem
                continue
            if width == "double" and _rounds(call, values):
                raise NotCovered("its kernel in double gives FP32")
            results = iter(values.values())
            return [widened(next(results)) if used else None for used in call.outputs]
        raise NotCovered(reason)

    def _session(self, call: Call, width: Width, feeds: dict[str, Value], held: dict[str, Array]) -> OrtSession:
        if held or call.node.op_type in _RANDOM:
            return _open(call, width, feeds, held)
        key = _signature(call, width, feeds)
        if key not in self._sessions:
            try:
                self._sessions[key] = _open(call, width, feeds, {})
            except AttnexportError as error:
                self._sessions[key] = error.problem
        session = self._sessions[key]
        if isinstance(session, str):
            raise AttnexportError(session)
        return session


def _rounds(call: Call, values: Mapping[str, Value]) -> bool:
    """Whether FP64 went in and FP32 came out."""
    wide = any(isinstance(v, np.ndarray) and v.dtype == np.float64 for v in call.inputs)
    return wide and any(isinstance(v, np.ndarray) and v.dtype == np.float32 for v in values.values())


def _narrow(value: Value, width: str) -> Value:
    if isinstance(value, list):
        return [_narrow(v, width) for v in value]
    if isinstance(value, np.ndarray) and value.dtype == np.float64 and width == "single":
        with np.errstate(over="ignore"):
            return value.astype(np.float32)
    return value


def _signature(call: Call, width: Width, feeds: dict[str, Value]) -> Any:
    attributes = sorted(a.SerializeToString() for a in call.node.attribute)
    types = tuple((name, _type_of(value).SerializeToString()) for name, value in feeds.items())
    return call.node.domain, call.node.op_type, call.opset, tuple(attributes), types, call.outputs, width


def _type_of(value: Value) -> onnx.TypeProto:
    if value is EMPTY:
        raise NotCovered
    if isinstance(value, list):
        if not value:
            raise NotCovered
        return helper.make_sequence_type_proto(_type_of(value[0]))
    if not isinstance(value, np.ndarray):
        raise NotCovered
    if value.dtype.kind in "OUS":
        return helper.make_tensor_type_proto(TensorProto.STRING, None)
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), None)


def _open(call: Call, width: Width, feeds: dict[str, Value], held: dict[str, Array]) -> OrtSession:
    node = onnx.NodeProto(op_type=call.node.op_type, domain=call.node.domain, name="node")
    for attribute in call.node.attribute:
        copy = node.attribute.add()
        copy.CopyFrom(attribute)
        if attribute.name in _TYPED and attribute.i in FLOATS:
            copy.i = _KINDS[width][0]
    node.input.extend(f"i{n}" if value is not None else "" for n, value in enumerate(call.inputs))
    node.output.extend(f"o{n}" if used else "" for n, used in enumerate(call.outputs))
    graph = helper.make_graph(
        [node],
        "one_node",
        [onnx.ValueInfoProto(name=name, type=_type_of(value)) for name, value in feeds.items() if name not in held],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    imports = [helper.make_opsetid(call.node.domain, call.opset)]
    if call.node.domain:
        imports.append(helper.make_opsetid("", 18))
    model = helper.make_model(graph, opset_imports=imports, ir_version=_LATEST_IR)
    return OrtSession(model.SerializeToString(), optimize=False, threads=1, spin=False)
