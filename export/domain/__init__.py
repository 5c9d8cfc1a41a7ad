"""The ``attnexport`` ONNX domain: operators of attention models that ONNX lacks or that targets refuse.

Each operator is one file with its schema, its NumPy reference and its portable body. A graph that still holds one is
valid ONNX and runs anywhere once ``add_bodies`` has put the bodies in as model-local functions; lowering replaces
them by a target's better form.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType, ModuleType

import onnx

from . import (
    adaptive_average,
    adaptive_max,
    affine_grid,
    col2im,
    deform_conv,
    grid_sample,
    grid_sample_3d,
    im2col,
    local_aggregate,
    local_attention,
    local_correlation,
    local_outlook,
    roll,
    sdpa,
    unfold,
)
from .operator import BODY_OPSET, DOMAIN, VERSION, Operator

__all__ = [
    "BODY_OPSET",
    "DOMAIN",
    "OPERATORS",
    "VERSION",
    "Operator",
    "add_bodies",
    "domain_imports",
    "domain_nodes",
    "register_schemas",
    "strip_bodies",
]


_FILES = (
    im2col,
    unfold,
    col2im,
    grid_sample,
    grid_sample_3d,
    affine_grid,
    roll,
    adaptive_average,
    adaptive_max,
    deform_conv,
    local_correlation,
    local_aggregate,
    local_attention,
    local_outlook,
    sdpa,
)


def _operator(module: ModuleType) -> Operator:
    overload = getattr(module, "overload", None)
    return Operator(module.SCHEMA.name, module.SCHEMA, module.reference, module.body, overload)


OPERATORS: Mapping[str, Operator] = MappingProxyType({operator.name: operator for operator in map(_operator, _FILES)})


def register_schemas() -> None:
    """Make the domain known to onnx in this process (inference, checker, exporter). Calling it again does nothing."""
    for operator in OPERATORS.values():
        if not onnx.defs.has(operator.name, DOMAIN):
            onnx.defs.register_schema(operator.schema)


def domain_imports(model: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    """The opset imports of a model that gets nodes of the domain: its own, and the domain's last."""
    imports = [entry for entry in model.opset_import if entry.domain != DOMAIN]
    return [*imports, onnx.helper.make_opsetid(DOMAIN, VERSION)]


def domain_nodes(nodes: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """Every node of the domain in a graph or function, also inside the branches and bodies of If, Loop and Scan."""
    for node in nodes.node:
        if node.domain == DOMAIN:
            yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from domain_nodes(graph)


def add_bodies(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` with the bodies of the domain operators that it uses, as model-local functions.

    An operator whose text depends on the node gets one function per overload that is used. The bodies are written at
    opset 18: the checker refuses them in a model of a later opset that changed one of their operators.
    """
    result = strip_bodies(model)
    used: set[tuple[str, str]] = set()
    for graph in (result.graph, *result.functions):
        for node in domain_nodes(graph):
            operator = OPERATORS.get(node.op_type)
            if operator is None:
                continue
            if operator.overload is not None:
                node.overload = operator.overload(node)
            used.add((node.op_type, node.overload))
    bodies = [OPERATORS[name].body(overload) if overload else OPERATORS[name].body() for name, overload in sorted(used)]
    result.functions.extend(bodies)
    # Model-local functions came with version 8, overloads of them with version 10.
    oldest = 10 if any(overload for _, overload in used) else 8 if used else 0
    result.ir_version = max(result.ir_version, oldest)
    return result


def strip_bodies(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` without the bodies; the import of the domain stays where a node still needs it."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    functions = [function for function in result.functions if function.domain != DOMAIN]
    del result.functions[:]
    result.functions.extend(functions)
    nodes = [node for graph in (result.graph, *result.functions) for node in domain_nodes(graph)]
    for node in nodes:
        node.ClearField("overload")
    imports = [entry for entry in result.opset_import if entry.domain != DOMAIN]
    del result.opset_import[:]
    result.opset_import.extend(imports)
    if nodes:
        result.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    return result
