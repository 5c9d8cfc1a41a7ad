"""Raise windows that another exporter or a loop has spelled out to operators of the attnexport domain.

``RULES`` is the list of rules, one file each, with the spelling at the top of the file. A rule that matches its spelling but
cannot verify it gives a reason, and the nodes stay. Captured models pass here too, since loops over shifts are written by hand.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnx_graphsurgeon as gs

from ..domain import domain_imports
from ..graph.builder import GraphBuilder
from ..graph.model import export_graph, inferred
from ..graph.rewrites import Refusal, Rewrite
from . import (
    gathered_im2col,
    gathered_unfold,
    one_hot_conv,
    shifted_branches,
    shifted_sum,
    sliced_windows,
    stacked_windows,
    strided_gather,
)
from .candidates import possible
from .evaluate import settle_pads
from .rule import Match, RaisingRule

__all__ = ["RULES", "Raised", "raise_windows"]

# Larger spellings first: a smaller one no longer sees the nodes that they take.
RULES: tuple[RaisingRule[Any], ...] = (
    gathered_im2col.RULE,
    gathered_unfold.RULE,
    strided_gather.RULE,
    one_hot_conv.RULE,
    stacked_windows.RULE,
    sliced_windows.RULE,
    shifted_branches.RULE,
    shifted_sum.RULE,
)


@dataclass(frozen=True)
class Raised:
    """The model, the number of raised operators by name, the rewrites applied, and those refused with the reason."""

    model: onnx.ModelProto
    counts: dict[str, int] = field(default_factory=dict)
    applied: tuple[Rewrite, ...] = ()
    refused: tuple[Refusal, ...] = ()


def raise_windows(model: onnx.ModelProto) -> Raised:
    """Raise the windows of the main graph. ``model`` is not changed; it is returned if no rule matches."""
    if not possible(model):
        return Raised(model)
    source = _inferred(model)
    graph = gs.import_onnx(source)
    if settle_pads(graph):  # shapes behind these Pads were not known before
        source = _inferred(export_graph(graph.cleanup(), source))
        graph = gs.import_onnx(source)
    counts: Counter[str] = Counter()
    applied: list[Rewrite] = []
    refused: dict[str, Refusal] = {}
    taken = {node.name for node in graph.nodes} | set(graph.tensors())
    for rule in RULES:
        before = counts.total()
        for node in list(graph.nodes):
            match = rule.find(node)
            if isinstance(match, str):
                refused[node.name] = Refusal(rule.name, node.name, match)
            elif match is not None:
                applied.append(Rewrite(rule.name, node.name, ", ".join(match.ops)))
                _replace(graph, rule, match, taken)
                counts.update(match.ops)
        if counts.total() > before:
            graph.cleanup()
    names = {node.name for node in graph.nodes}
    left = tuple(refusal for refusal in refused.values() if refusal.node in names)
    if not counts:
        return Raised(model, {}, (), left)
    graph.toposort()
    raised = export_graph(graph, source, domain_imports(model))
    return Raised(raised, dict(counts), tuple(applied), left)


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return inferred(model)
    except onnx.shape_inference.InferenceError:
        return model  # the checker of a later stage reports the contradiction; less is known here


def _replace(graph: gs.Graph, rule: RaisingRule[Any], match: Match[Any], taken: set[str]) -> None:
    """Write the rule's operators in place of the node, or before a node that stays."""
    emit = GraphBuilder(match.node, taken, graph.opset)
    result = rule.build(emit, match)
    if match.keep:
        match.node.inputs[0] = result
    else:
        emit.finish(result)
    graph.nodes.extend(emit.nodes)
