"""Emulate an FP16 or BF16 model on a machine without such hardware: round to 16 bits after every node.

ONNX Runtime's CPU provider is not an FP16 reference: it computes FP16 nodes in FP32 and drops the
casts between them, so 2048 + 1 + 1 + 1 gives 2051 instead of 2048 and an overflow never shows.
``emulate`` writes the typed model as an FP32 graph that rounds to FP16 (BF16) after every node that
makes such data:

    y: f16 = Node(a: f16, b: f16)   ->   y: f32 = Cast<f32>(Cast<f16>(Node(a: f32, b: f32)))

Values are stored in 16 bits and sums inside one node run in FP32, as on tensor cores. ONNX Runtime
keeps such pairs of casts, since they round. Data movement makes no new values and gets no pair.
NumPy has no bfloat16, so BF16 inputs and outputs of the model are FP32 here, rounded.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError, MissingBackendError, StageError
from .inferred import infer_light
from .large_model import open_model, skeleton
from .ort import OrtSession

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


_FLOAT, _FLOAT16, _BFLOAT16 = 1, 10, 16
_HALVES = {_FLOAT16: "f16", _BFLOAT16: "bf16"}

# Their 16-bit outputs are 16-bit inputs, moved: nothing to round.
_MOVED = (
    "CenterCropPad Compress Concat Constant ConstantOfShape DepthToSpace Expand Flatten Gather GatherElements GatherND "
    "Identity If Loop Pad Reshape ReverseSequence Scan Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze "
    "Where"
)
_MOVEMENT = frozenset(_MOVED.split())
# Attributes that name the element type of what a node makes.
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype", "stash_type")


def emulate(model: "ModelProto") -> "ModelProto":
    """Return the FP32 model that rounds where ``model`` stores FP16 or BF16, with the same inputs and outputs.

    Their types stay, except that BF16 becomes FP32. ``model`` is typed, with loaded weights, and is
    not changed. Raise MissingBackendError without onnx, StageError if a tensor's type cannot be
    inferred.
    """
    onnx = _onnx()
    source = onnx.inliner.inline_local_functions(model) if model.functions else model
    new: ModelProto = onnx.ModelProto()
    new.CopyFrom(source)
    typed = _inferred(source)
    taken = {name for graph in _graphs(source.graph) for node in graph.node for name in (*node.output, node.name)}
    taken |= {name for graph in _graphs(typed) for name in _element_types(graph)}
    _Emulator(taken).rewrite(new.graph, typed, {}, border=True)
    return new


def _onnx() -> Any:
    try:
        import onnx
        import onnx.inliner
        import onnx.shape_inference
    except ImportError as error:
        raise MissingBackendError("emulation of 16-bit types needs onnx", "pip install 'attnexport[export]'") from error
    return onnx


def _graphs(graph: "GraphProto") -> "Iterator[GraphProto]":
    yield graph
    for node in graph.node:
        for body in _bodies(node):
            yield from _graphs(body)


def _bodies(node: "NodeProto") -> "Iterator[GraphProto]":
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _inferred(model: "ModelProto") -> "GraphProto":
    """The graph with types for all tensors, also in bodies. Large weights become inputs for the inference, to stay under 2 GB."""
    onnx = _onnx()
    light = skeleton(model)
    del light.graph.value_info[:]
    try:
        inferred = infer_light(light, strict=True)
    except onnx.shape_inference.InferenceError as error:
        raise StageError("emulation", f"shape inference failed: {error}") from error
    graph: GraphProto = inferred.graph
    return graph


def _element_types(graph: "GraphProto") -> dict[str, int]:
    """Element types of the tensors of a graph, without its bodies: the bodies of two branches may use a name twice."""
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        types[value.name] = value.type.tensor_type.elem_type
    return types


class _Emulator:
    """Rewrites a graph in place; ``taken`` has the names that new tensors and nodes must not have."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken

    def rewrite(self, graph: "GraphProto", typed: "GraphProto", outer: Mapping[str, int], border: bool) -> None:
        """Make every 16-bit tensor FP32 and round after its node; ``border`` keeps FP16 inputs and outputs.

        ``typed`` is the same graph with all types, ``outer`` has the types of the tensors around it.
        """
        onnx = _onnx()
        types = {**outer, **_element_types(typed)}
        inputs = {value.name for value in graph.input}
        renamed: dict[str, str] = {}
        head: list[NodeProto] = []
        tail: list[NodeProto] = []
        for value in (*graph.input, *graph.output):
            kind = value.type.tensor_type.elem_type
            if kind not in _HALVES:
                continue
            if not border or kind == _BFLOAT16:
                value.type.tensor_type.elem_type = _FLOAT
            if not border or (kind == _BFLOAT16 and value.name not in inputs):
                continue
            if value.name not in renamed:
                renamed[value.name] = self._fresh(f"{value.name}/f32")
            if value.name in inputs:
                source = self._fresh(f"{value.name}/bf16") if kind == _BFLOAT16 else value.name
                head += [self._cast(value.name, source, kind)] if kind == _BFLOAT16 else []
                head.append(self._cast(source, renamed[value.name], _FLOAT))
            else:
                tail.append(self._cast(renamed[value.name], value.name, kind))
        for tensor in graph.initializer:
            if tensor.data_type in _HALVES:
                array = onnx.numpy_helper.to_array(tensor).astype(np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, renamed.get(tensor.name, tensor.name)))
        pairs = zip(graph.node, typed.node, strict=True)
        body = [new for node, inferred in pairs for new in self._node(node, inferred, renamed, types)]
        del graph.node[:]
        graph.node.extend((*head, *body, *tail))
        _retype_known(graph, types)

    def _node(
        self, node: "NodeProto", typed: "NodeProto", renamed: Mapping[str, str], types: Mapping[str, int]
    ) -> "Iterator[NodeProto]":
        onnx = _onnx()
        halves = {name: kind for name in node.output if name and (kind := types.get(name)) in _HALVES}
        new = onnx.NodeProto()
        new.CopyFrom(node)
        for position, name in enumerate(node.input):
            new.input[position] = renamed.get(name, name)
        for position, name in enumerate(node.output):
            new.output[position] = renamed.get(name, name)
        self._retype(new)
        for body, inferred in zip(_bodies(new), _bodies(typed), strict=True):
            _rename_reads(body, renamed)
            self.rewrite(body, inferred, types, border=False)
        if not halves or (node.op_type in _MOVEMENT and node.domain in ("", "ai.onnx")):
            yield new
            return
        pairs = []
        for position, name in enumerate(node.output):
            if name not in halves:
                continue
            kind = halves[name]
            rounded = self._fresh(f"{name}/{_HALVES[kind]}")
            if node.op_type == "Cast":  # it rounds itself; from float64, once
                new.CopyFrom(self._cast(new.input[0], rounded, kind))
                pairs.append(self._cast(rounded, renamed.get(name, name), _FLOAT))
                continue
            raw = self._fresh(f"{name}/raw")
            pairs += [self._cast(raw, rounded, kind), self._cast(rounded, new.output[position], _FLOAT)]
            new.output[position] = raw
        yield new
        yield from pairs

    def _retype(self, node: "NodeProto") -> None:
        """Replace 16-bit types by FP32 in a node's attributes and constants."""
        onnx = _onnx()
        for attribute in node.attribute:
            if attribute.name in _TYPE_ATTRIBUTES and attribute.i in _HALVES:
                attribute.i = _FLOAT
            if attribute.HasField("t") and attribute.t.data_type in _HALVES:
                array = onnx.numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(onnx.numpy_helper.from_array(array, attribute.t.name))

    def _cast(self, source: str, target: str, dtype: int) -> "NodeProto":
        onnx = _onnx()
        node: NodeProto = onnx.helper.make_node(
            "Cast", [source], [target], name=self._fresh(f"{target}/cast"), to=dtype
        )
        return node

    def _fresh(self, name: str) -> str:
        candidate, number = name, 0
        while candidate in self.taken:
            number += 1
            candidate = f"{name}_{number}"
        self.taken.add(candidate)
        return candidate


def _retype_known(graph: "GraphProto", types: Mapping[str, int]) -> None:
    """Keep known shapes. Without them ONNX Runtime infers them again behind each pair of casts, in a time that grows with the
    square of the nodes if the batch is free (minutes for an LSTM of 50 unrolled steps).
    """
    for place in reversed(range(len(graph.value_info))):
        value = graph.value_info[place]
        kind = value.type.tensor_type
        if not kind.elem_type or kind.elem_type != types.get(value.name):
            del graph.value_info[place]
        elif kind.elem_type in _HALVES:
            kind.elem_type = _FLOAT


def _rename_reads(graph: "GraphProto", renamed: Mapping[str, str]) -> None:
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
        for body in _bodies(node):
            _rename_reads(body, renamed)


def open_emulated(model: "str | Path | bytes | ModelProto") -> OrtSession:
    """Open the emulation of a typed FP16 or BF16 model on ONNX Runtime's CPU provider: a file, its bytes, or a loaded model.

    A loaded model is not changed. Inputs and outputs have the types of the model (FP32 for BF16).
    Raise InputError if it is not an ONNX model, MissingBackendError without onnx or onnxruntime.
    """
    emulated = emulate(_load(model))
    # ONNX Runtime fuses Q/DQ into integer kernels, some of which saturate (AVX2) or know no FP8: as it is written, then.
    return open_model(emulated, optimize=not any(node.op_type == "QuantizeLinear" for node in emulated.graph.node))


def _load(model: "str | Path | bytes | ModelProto") -> "ModelProto":
    onnx = _onnx()
    if not isinstance(model, str | Path | bytes):
        return model
    what = "the model" if isinstance(model, bytes) else str(model)
    try:
        loaded: ModelProto = onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(str(model))
    except Exception as error:  # protobuf's exceptions have no public base
        raise InputError(f"{what} is not readable as ONNX: {error}") from error
    if not (loaded.graph.node or loaded.graph.output):
        raise InputError(f"{what} is not an ONNX model: it has no graph")
    return loaded
