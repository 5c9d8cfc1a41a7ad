"""The model as the precision stage needs it: normalised, typed, and indexed by tensor and node.

``normalise`` guarantees: no local functions, no Constant nodes, a unique name for each node of the model, a known type
and shape for each tensor of the main graph, and bodies that compute each of their outputs themselves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.inliner
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from ...errors import InputError, StageError
from ...runtime.sessions.inferred import infer_light
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
    _own_outputs(copy.graph)
    _name_nodes(copy.graph, {node.name for node in copy.graph.node if node.name})
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
        for body in subgraphs(node):
            _lift_constants(body)
    del graph.node[:]
    graph.node.extend(kept)


def _own_outputs(graph: GraphProto, taken: set[str] | None = None) -> None:
    """Put an Identity before each output of a body that is an input, a constant, an outer tensor, or another output too.

    Then a cast at the border of the body has a tensor of its own. ``taken`` has the tensor names of the model.
    """
    for body in (body for node in graph.node for body in subgraphs(node)):
        taken = tensor_names(graph) if taken is None else taken
        free = {name for node in body.node for name in node.output}
        for value in body.output:
            if value.name in free:
                free.discard(value.name)
                continue
            source, value.name = value.name, unique(f"{value.name}/output", taken)
            body.node.append(helper.make_node("Identity", [source], [value.name]))
        _own_outputs(body, taken)


def _constant_tensor(node: NodeProto) -> TensorProto | None:
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor: TensorProto = attribute.t
        return tensor
    dtypes = {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}
    if attribute.name not in dtypes:  # strings and sparse tensors contain no dense float32 data
        return None
    return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), dtype=dtypes[attribute.name]))


def _name_nodes(graph: GraphProto, taken: set[str], outer: frozenset[str] = frozenset()) -> None:
    """Give each node a name that is unique in the model; ``taken`` has the names of this graph and of those before it."""
    seen = set(outer)
    for node in graph.node:
        if not node.name or node.name in seen:
            node.name = unique(node.name or node.op_type, taken)
        seen.add(node.name)
    for body in (body for node in graph.node for body in subgraphs(node)):
        before = frozenset(taken)
        taken.update(node.name for node in body.node if node.name)
        _name_nodes(body, taken, before)


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
        inferred = infer_light(skeleton(model), strict=True, check_type=True)
    except onnx.shape_inference.InferenceError as error:
        raise StageError("precision", f"shape inference failed: {error}") from error
    graph = model.graph
    _take_types(graph, inferred.graph)
    typed = {value.name for value in (*graph.value_info, *graph.output)}
    for node in graph.node:
        if any(name and name not in typed for name in node.output):
            raise InputError(
                f"the type of what {node.name!r} ({node.domain or 'ai.onnx'}::{node.op_type}) makes is not known",
                "lower the model to standard operators first",
            )


def _take_types(graph: GraphProto, inferred: GraphProto) -> None:
    """Give a graph and its bodies, in place, the types and shapes of an inferred copy of it."""
    constants = {tensor.name for tensor in graph.initializer}
    infos = [value for value in inferred.value_info if value.name not in constants]
    del graph.value_info[:], graph.output[:]
    graph.value_info.extend(infos)
    graph.output.extend(inferred.output)
    for node, other in zip(graph.node, inferred.node, strict=True):
        for body, inferred_body in zip(subgraphs(node), subgraphs(other), strict=True):
            del body.input[:]
            body.input.extend(inferred_body.input)
            _take_types(body, inferred_body)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The bodies of a control-flow node."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == AttributeProto.GRAPHS:
            yield from attribute.graphs


def captured(node: NodeProto) -> list[str]:
    """Names of outer tensors that the bodies of a node read, in order of first use."""
    return captured_by(*subgraphs(node))


def captured_by(*bodies: GraphProto) -> list[str]:
    """Names of outer tensors that bodies read, in order of first use."""
    found: dict[str, None] = {}

    def visit(graph: GraphProto, known: frozenset[str]) -> None:
        inner = known | {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
        inner |= {name for child in graph.node for name in child.output}
        for child in graph.node:
            found.update((name, None) for name in child.input if name and name not in inner)
            for body in subgraphs(child):
                visit(body, inner)
        found.update((value.name, None) for value in graph.output if value.name not in inner)

    for body in bodies:
        visit(body, frozenset())
    return list(found)


def _states(node: NodeProto, body: GraphProto) -> tuple[tuple[str, str], ...]:
    """The carried states of a Loop or Scan, by their names in its body: an input, and the output that it becomes."""
    names_in, names_out = ([value.name for value in values] for values in (body.input, body.output))
    if node.op_type == "Loop":  # (step, condition, states) -> (condition, states, scan outputs)
        return tuple(zip(names_in[2:], names_out[1:], strict=False))
    if node.op_type == "Scan":  # (states, scan inputs) -> (states, scan outputs)
        scanned = attribute(node, "num_scan_inputs", 0)
        assert isinstance(scanned, int)
        return tuple(zip(names_in[: len(names_in) - scanned], names_out, strict=False))
    return ()


def tensor_names(graph: GraphProto) -> set[str]:
    """Every tensor name of a graph and of its bodies."""
    names = {value.name for value in (*graph.input, *graph.output, *graph.value_info)}
    names |= {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        names.update((*node.input, *node.output))
        for body in subgraphs(node):
            names |= tensor_names(body)
    return names


@dataclass(frozen=True)
class Enclosing:
    """What the body of a node has from outside: the constants and the computed tensors that it captures, by name.

    ``states`` pairs an input of the body with the output that becomes this input in the next step of a loop.
    """

    constants: Mapping[str, TensorProto]
    values: Mapping[str, ValueInfoProto]
    states: tuple[tuple[str, str], ...] = ()


_MAIN = Enclosing({}, {})


class GraphIndex:
    """Look-ups in a normalised model: the producer and consumers of a tensor, its type, shape and constant value.

    ``bodies`` has the index of each body of a node, by the node's name: a model of its own, whose ``inputs`` and
    ``constants`` include what it captures from outside (``enclosing``).
    """

    def __init__(self, model: ModelProto, enclosing: Enclosing = _MAIN) -> None:
        self.model, self.enclosing = model, enclosing
        self.nodes: list[NodeProto] = list(model.graph.node)
        self.opset: dict[str, int] = {entry.domain: entry.version for entry in model.opset_import}
        self.constants: dict[str, TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self.constants.update(enclosing.constants)
        self.inputs: list[str] = [*(value.name for value in model.graph.input), *enclosing.values]
        self.outputs: list[str] = [value.name for value in model.graph.output]
        self.types: dict[str, int] = {}
        self.shapes: dict[str, tuple[Size, ...] | None] = {}
        self.infos = dict(enclosing.values)
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
            self.infos[value.name] = value
        for value in self.infos.values():
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
        self.bodies = {node.name: inner for node in self.nodes if (inner := tuple(self._bodies(node)))}

    def _bodies(self, node: NodeProto) -> "Iterator[GraphIndex]":
        for body in subgraphs(node):
            model = ModelProto(ir_version=self.model.ir_version, opset_import=self.model.opset_import, graph=body)
            outer = captured_by(body)
            constants = {name: self.constants[name] for name in outer if name in self.constants}
            values = {name: self.infos[name] for name in outer if name in self.infos and name not in constants}
            yield GraphIndex(model, Enclosing(constants, values, _states(node, body)))

    def every_node(self) -> Iterator[NodeProto]:
        """The nodes of the graph, each followed by the nodes of its bodies."""
        for node in self.nodes:
            yield node
            for body in self.bodies.get(node.name, ()):
                yield from body.every_node()

    @property
    def typed(self) -> bool:
        """Whether the type of each tensor is known, in bodies too: shape inference cannot follow every operator there."""
        names = (name for node in self.nodes for name in (*node.input, *node.output) if name)
        own = all(name in self.constants or (name in self.infos and _has_type(self.infos[name])) for name in names)
        return own and all(body.typed for bodies in self.bodies.values() for body in bodies)

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


def _has_type(value: ValueInfoProto) -> bool:
    """Whether a value is a tensor of a known element type, or a sequence, map or optional."""
    kind = value.type.WhichOneof("value")
    return bool(value.type.tensor_type.elem_type) if kind == "tensor_type" else kind is not None


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
