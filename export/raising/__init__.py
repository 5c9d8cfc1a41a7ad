"""Windows that another exporter has spelled out become operators of the attnexport domain again, where that can be proved.

``RULES`` is the whole list; each is one file with its spelling on top. A rule that sees its spelling and cannot prove it gives a reason,
and the nodes stay as they are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import onnx
import onnx_graphsurgeon as gs
from onnx import helper

from ..domain import DOMAIN, VERSION
from . import gathered_im2col, gathered_unfold
from .rule import Raise

__all__ = ["RULES", "Raised", "raise_windows"]

# The larger spelling first: what it takes, the smaller one no longer sees.
RULES = (gathered_im2col.match, gathered_unfold.match)


@dataclass(frozen=True)
class Raised:
    """The model, how many of each operator were raised, and why what looks like windows was not, by node name."""

    model: onnx.ModelProto
    counts: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def raise_windows(model: onnx.ModelProto) -> Raised:
    """Raise what the rules prove in the main graph. ``model`` is not changed; without a match it is returned as it is."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except onnx.shape_inference.InferenceError:
        inferred = model  # the checker of a later stage says what is wrong; here less is known
    graph = gs.import_onnx(inferred)
    counts: Counter[str] = Counter()
    refused: dict[str, str] = {}
    for rule in RULES:
        for node in list(graph.nodes):
            found = rule(node)
            if isinstance(found, str):
                refused[node.name] = found
            elif found is not None:
                _replace(graph, found)
                counts[found.op] += 1
        graph.cleanup()
    refused = {name: reason for name, reason in refused.items() if any(node.name == name for node in graph.nodes)}
    if not counts:
        return Raised(model, {}, refused)
    graph.toposort()
    imports = [*model.opset_import, helper.make_opsetid(DOMAIN, VERSION)]
    return Raised(gs.export_onnx(graph, opset_imports=imports), dict(counts), refused)


def _replace(graph: gs.Graph, found: Raise) -> None:
    """Put the operator where the node was (same name, same output), or before the node that stays."""
    if found.keep:
        before = found.node.inputs[0]
        fresh = gs.Variable(f"{before.name}/windows", dtype=before.dtype)
        name = f"{found.node.name}/{found.op}"
        graph.nodes.append(gs.Node(found.op, name, found.attributes, [found.x], [fresh], domain=DOMAIN))
        found.node.inputs[0] = fresh
        return
    (output,) = found.node.outputs
    found.node.outputs.clear()
    target = output
    if found.perm is not None:
        target = gs.Variable(f"{output.name}/windows", dtype=output.dtype)
        mover = gs.Node("Transpose", f"{found.node.name}/place", {"perm": found.perm}, [target], [output])
        graph.nodes.append(mover)
    raised = gs.Node(found.op, found.node.name, found.attributes, [found.x], [target], domain=DOMAIN)
    graph.nodes.append(raised)
