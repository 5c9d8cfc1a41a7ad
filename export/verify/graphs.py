"""Open any model, domain operators included, with any of its tensors as outputs."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
import onnx.inliner

from ...runtime.sessions.emulated import emulate
from ...runtime.sessions.large_model import open_model as open_in_ort
from ...runtime.sessions.open import CastSession
from ...runtime.sessions.ort import OrtSession
from ..domain import DOMAIN, add_bodies, domain_nodes
from ..graph.model import opset_of

_BY_VALUE = frozenset({"Reshape", "Expand", "Slice", "Pad", "Tile", "Resize", "Unsqueeze", "Squeeze", "Split", "TopK"})
"""Operators whose first input is data; their other inputs are sizes, indices and axes."""

_RENAMED_MODES_SINCE = 20
_RENAMED_MODES = {b"bilinear": b"linear", b"bicubic": b"cubic"}
"""GridSample's modes: the only change that later opsets make to the bodies (opset 18), besides more types."""


def runnable(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model that ONNX Runtime accepts: domain operators are replaced by their portable bodies. Tensors keep their names."""
    graphs = (model.graph, *model.functions)
    if not any(True for graph in graphs for _ in domain_nodes(graph)):
        return model
    with_bodies = add_bodies(model)
    bodies = [f for f in with_bodies.functions if f.domain == DOMAIN]
    opset = opset_of(model)
    for entry in (entry for body in bodies for entry in body.opset_import if not entry.domain):
        entry.version = opset
    inlined = onnx.inliner.inline_selected_functions(with_bodies, [(f.domain, f.name) for f in bodies])
    if opset >= _RENAMED_MODES_SINCE:
        _rename_modes(inlined.graph)
    return inlined


def _rename_modes(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "GridSample" and attribute.name == "mode":
                attribute.s = _RENAMED_MODES.get(attribute.s, attribute.s)
            for inner in (attribute.g, *attribute.graphs):
                _rename_modes(inner)


def run_once(
    model: onnx.ModelProto,
    feeds: Mapping[str, np.ndarray],
    tensors: Sequence[str] | None = None,
    *,
    typed: bool = False,
) -> dict[str, np.ndarray]:
    """Return the outputs, or any tensors of the main graph, for one set of inputs; ``typed`` models run under emulation.

    Raise StageError if ONNX Runtime rejects the model.
    """
    with open_model(model, tensors, typed=typed) as session:
        return CastSession(session, session.input_dtypes, {}).run(feeds)


def open_model(model: onnx.ModelProto, tensors: Sequence[str] | None = None, *, typed: bool = False) -> OrtSession:
    """Open a session whose outputs are the model's, or ``tensors`` of its main graph; ``typed`` models run under emulation."""
    prepared = emulate(model) if typed else runnable(model)
    if tensors is None:
        return open_in_ort(prepared)
    declared = {value.name: value for value in prepared.graph.output}
    # ONNX Runtime infers the type of an output that is declared by name only.
    outputs = [declared.get(name) or onnx.ValueInfoProto(name=name) for name in tensors]
    # With thousands of outputs, optimising takes minutes: longer than the single run that follows.
    return open_in_ort(prepared, outputs=outputs, optimize=False)


class Flow:
    """The data flow between the tensors of a model's main graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.maker = {name: node for node in graph.node for name in node.output if name}
        self.order = {name: i for i, name in enumerate(self.maker)}

    def sources(self, tensor: str) -> Iterable[str]:
        """Return the data inputs of the node that makes ``tensor``, and the tensors that its subgraphs read; not sizes or axes."""
        node = self.maker.get(tensor)
        if node is None:
            return ()
        inputs = node.input[:1] if node.op_type in _BY_VALUE and node.domain in ("", "ai.onnx") else node.input
        return (*(name for name in inputs if name), *_read_by_bodies(node))

    def behind(self, tensor: str, stop: frozenset[str] | set[str] = frozenset()) -> set[str]:
        """Return ``tensor`` and all tensors that it depends on, back to (and without) the tensors of ``stop``."""
        region: set[str] = set()
        waiting = [tensor]
        while waiting:
            name = waiting.pop()
            if name in region or (name in stop and name != tensor) or name not in self.maker:
                continue
            region.add(name)
            waiting += self.sources(name)
        return region


def _read_by_bodies(node: onnx.NodeProto) -> list[str]:
    names: list[str] = []
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                names += [name for name in inner.input if name]
                names += _read_by_bodies(inner)
    return names
