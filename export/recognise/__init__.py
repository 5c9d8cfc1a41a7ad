"""Recognise local attention by its axes, not by its spelling.

A window operator adds a window axis and keeps the others. The operators behind it carry, merge, split, multiply or sum axes.
``layout`` follows the axes; ``windows``, ``carry`` and ``cuts`` compute the result of each operator; ``contract`` brings products
to one form. Three passes in one walk insert operators: ``correlate``, ``aggregate``, ``attend``. What cannot be verified stays, with
a reason.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnx_graphsurgeon as gs

from ...errors import StageError
from ..domain import DOMAIN, domain_imports, domain_nodes, register_schemas
from ..graph.model import export_graph, inferred
from ..graph.rewrites import Refusal
from .context import LocalOperator, Recognition
from .flow import visit
from .outlook import fold_back
from .settle import settle

__all__ = ["LocalOperator", "Recognised", "recognise"]

WINDOWS = ("Im2Col", "Unfold")


@dataclass(frozen=True)
class Recognised:
    """The model with local operators, the operators found, and the nodes left with the reason."""

    model: onnx.ModelProto
    found: list[LocalOperator] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def recognise(model: onnx.ModelProto) -> Recognised:
    """Insert LocalCorrelation, LocalAggregate and LocalAttention in place of windows that are multiplied and summed.

    ``model`` is a captured or raised graph and is not changed; it is returned if it has no window operator. Inputs and
    outputs keep names, types and shapes. New nodes are named ``<replaced node>/<part>``. ``refused`` has one reason for each
    operator of overlapping windows that stays, and for attention that stays in parts.

    Raises StageError if shapes of the graph contradict each other.
    """
    if not any(node.op_type in WINDOWS for node in domain_nodes(model.graph)):
        return Recognised(model)
    register_schemas()
    graph = gs.import_onnx(_inferred(model))
    context = Recognition(graph, _taken(graph))
    for node in list(graph.nodes):
        visit(context, node)
    if not context.found:
        return Recognised(model, [], _refused(context, graph))
    graph.nodes = [node for node in graph.nodes if node.outputs] + context.nodes
    graph.cleanup().toposort()
    folds = fold_back(context)
    if folds:
        graph.nodes = [node for node in graph.nodes if node.outputs] + folds
        graph.cleanup().toposort()
    outputs = {value.name for value in graph.outputs}
    settle([node for node in graph.nodes if not any(value.name in outputs for value in node.outputs)])
    graph.cleanup()
    return Recognised(
        export_graph(graph, model, domain_imports(model)), _alive(context, graph), _refused(context, graph)
    )


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return inferred(model)
    except onnx.shape_inference.InferenceError as error:
        raise StageError("recognise", f"shapes do not fit together: {error}") from error


def _taken(graph: Any) -> set[str]:
    """All names of nodes and values. Nodes without a unique name get one first."""
    counts = Counter(node.name for node in graph.nodes)
    for node in graph.nodes:
        if node.outputs and (not node.name or counts[node.name] > 1):
            node.name = node.outputs[0].name
    return {node.name for node in graph.nodes} | set(graph.tensors().keys())


def _alive(context: Recognition, graph: Any) -> list[LocalOperator]:
    names = {node.name for node in graph.nodes}
    return [entry for entry in context.found if entry.node in names]


def _refused(context: Recognition, graph: Any) -> list[Refusal]:
    """The reasons for nodes that are still in the graph: overlapping windows, and attention in parts."""
    left = []
    names = {node.name for node in graph.nodes}
    for node in graph.nodes:
        if node.domain != DOMAIN or node.op not in WINDOWS:
            continue
        if node.op == "Im2Col":
            geometry = zip(node.attrs["kernel"], node.attrs["dilation"], node.attrs["stride"], strict=True)
            overlapping = any(d * (k - 1) + 1 > s for k, d, s in geometry)
        else:
            overlapping = node.attrs["size"] > node.attrs["step"]
        if overlapping:
            reason = context.reasons.get(
                node.name, "no product of its windows is summed over channels or over the window"
            )
            left.append(Refusal("recognise", node.name, reason))
    parts = [Refusal("recognise", name, reason) for name, reason in context.refused.items() if name in names]
    return left + parts
