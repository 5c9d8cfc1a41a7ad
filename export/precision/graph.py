"""The model as the precision stage needs it: normalised, typed, and indexed by tensor and node.

``normalise`` guarantees: no local functions, no Constant nodes, a unique name for each node, a known type and shape
for each tensor of the main graph.
"""

from collections.abc import Iterator

import numpy as np
import onnx
import onnx.inliner
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from ...errors import InputError, StageError
from ..domain import DOMAIN, domain_nodes
from ..graph.model import check_model, opset_of, skeleton, with_weights

Size = int | str | None


def words(text: str) -> frozenset[str]:
    """The words of a text: a readable way to list operators."""
    return frozenset(text.split())


def check(model: ModelProto) -> None:
    """Raise StageError with the first complaint of the ONNX checker, with strict shape inference."""
    try:
        check_model(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise StageError("precision", f"the model is not valid ONNX: {error}") from error


def normalise(model: ModelProto) -> ModelProto:
    """Return a copy with functions inlined, constants as initializers, unique node names, types and shapes inferred.

    Idempotent. Initializers that are also listed as inputs (by old exporters) become constants. Raises InputError if
    weights are not loaded or the opset is outside 13 to 23, StageError if inference fails.
    """
    opset = opset_of(model)
    if not 13 <= opset <= 23:
        raise InputError(f"the model has opset {opset}", "conversion takes opset 13 to 23: convert the model first")
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            raise InputError(f"the data of weight {tensor.name!r} is not loaded", "load the model with onnx.load(path)")
    copy = ModelProto()
    copy.CopyFrom(
        with_weights(onnx.inliner.inline_local_functions(skeleton(model)), model) if model.functions else model
    )
    constants = {tensor.name for tensor in copy.graph.initializer}
    inputs = [value for value in copy.graph.input if value.name not in constants]
    del copy.graph.input[:]
    copy.graph.input.extend(inputs)
    _lift_constants(copy.graph)
    _name_nodes(copy.graph)
    for node in domain_nodes(copy.graph):  # the precision rules know standard operators only
        raise InputError(f"node {node.name!r} is still {DOMAIN}::{node.op_type}", "lower the model first")
    _infer(copy)
    return copy


def _lift_constants(graph: GraphProto) -> None:
    kept = []
    for node in graph.node:
        tensor = _constant_tensor(node) if node.op_type == "Constant" and node.domain in ("", "ai.onnx") else None
        if tensor is None:
            kept.append(node)
        else:
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
    del graph.node[:]
    graph.node.extend(kept)


def _constant_tensor(node: NodeProto) -> TensorProto | None:
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor: TensorProto = attribute.t
        return tensor
    dtypes = {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}
    if attribute.name not in dtypes:  # strings and sparse tensors contain no dense float32 data
        return None
    return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), dtype=dtypes[attribute.name]))


def _name_nodes(graph: GraphProto) -> None:
    taken = {node.name for node in graph.node if node.name}
    seen: set[str] = set()
    for node in graph.node:
        if not node.name or node.name in seen:
            node.name = unique(node.name or node.op_type, taken)
        seen.add(node.name)


def unique(name: str, taken: set[str]) -> str:
    """``name``, or ``name_1``, ``name_2`` …: the first free name, which is added to ``taken``."""
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def _infer(model: ModelProto) -> None:
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton(model), check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise StageError("precision", f"shape inference failed: {error}") from error
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    infos = [value for value in inferred.graph.value_info if value.name not in constants]
    del graph.value_info[:], graph.output[:]
    graph.value_info.extend(infos)
    graph.output.extend(inferred.graph.output)
    typed = {value.name for value in (*graph.value_info, *graph.output)}
    for node in graph.node:
        if any(name and name not in typed for name in node.output):
            raise InputError(
                f"the type of what {node.name!r} ({node.domain or 'ai.onnx'}::{node.op_type}) makes is not known",
                "lower the model to standard operators first",
            )


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The bodies of a control-flow node."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def captured(node: NodeProto) -> list[str]:
    """Names of outer tensors that the bodies of a node read, in order of first use."""
    found: dict[str, None] = {}

    def visit(graph: GraphProto, known: frozenset[str]) -> None:
        inner = known | {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        inner |= {name for child in graph.node for name in child.output}
        for child in graph.node:
            found.update((name, None) for name in child.input if name and name not in inner)
            for body in subgraphs(child):
                visit(body, inner)
        found.update((value.name, None) for value in graph.output if value.name not in inner)

    for body in subgraphs(node):
        visit(body, frozenset())
    return list(found)


def tensor_names(graph: GraphProto) -> set[str]:
    """Every tensor name of a graph and of its bodies."""
    names = {value.name for value in (*graph.input, *graph.output, *graph.value_info)}
    names |= {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        names.update((*node.input, *node.output))
        for body in subgraphs(node):
            names |= tensor_names(body)
    return names


class GraphIndex:
    """Look-ups in a normalised model: the producer and consumers of a tensor, its type, shape and constant value."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.opset: dict[str, int] = {entry.domain: entry.version for entry in model.opset_import}
        self.constants: dict[str, TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs: list[str] = [value.name for value in model.graph.input]
        self.outputs: list[str] = [value.name for value in model.graph.output]
        self.types: dict[str, int] = {}
        self.shapes: dict[str, tuple[Size, ...] | None] = {}
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            self.types[value.name] = value.type.tensor_type.elem_type
            self.shapes[value.name] = _shape(value)
        for name, tensor in self.constants.items():
            self.types[name] = tensor.data_type
            self.shapes[name] = tuple(tensor.dims)
        self._producer: dict[str, NodeProto] = {}
        self._consumers: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            self._producer.update((name, node) for name in node.output if name)
            for name in dict.fromkeys((*node.input, *captured(node))):
                if name:
                    self._consumers.setdefault(name, []).append(node)
        self._values: dict[str, np.ndarray] = {}

    def producer(self, tensor: str) -> NodeProto | None:
        """The node that computes a tensor; None for an input or a constant."""
        return self._producer.get(tensor)

    def consumers(self, tensor: str) -> list[NodeProto]:
        """The nodes that read a tensor, in graph order, including control-flow nodes whose bodies read it."""
        return self._consumers.get(tensor, [])

    def is_single(self, tensor: str) -> bool:
        """Whether a tensor is float32."""
        return self.types.get(tensor) == TensorProto.FLOAT

    def single_inputs(self, node: NodeProto) -> list[str]:
        """The float32 inputs of a node that are not constants, captured ones included."""
        names = dict.fromkeys((*node.input, *captured(node)))
        return [name for name in names if self.is_single(name) and name not in self.constants]

    def touches_single(self, node: NodeProto) -> bool:
        """Whether a node reads or computes a float32 tensor."""
        return any(self.is_single(name) for name in (*node.input, *node.output, *captured(node)))

    def value(self, tensor: str) -> np.ndarray | None:
        """The array of a constant, None for anything else."""
        if tensor not in self.constants:
            return None
        if tensor not in self._values:
            self._values[tensor] = numpy_helper.to_array(self.constants[tensor])
        return self._values[tensor]


def _shape(value: ValueInfoProto) -> tuple[Size, ...] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in tensor.shape.dim)


def attribute(node: NodeProto, name: str, default: object = None) -> object:
    """The value of an attribute, or the default."""
    for entry in node.attribute:
        if entry.name == name:
            value: object = helper.get_attribute_value(entry)
            return value
    return default
