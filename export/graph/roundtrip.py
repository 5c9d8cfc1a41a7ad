"""Export a graph of onnx-graphsurgeon to ONNX without losing the parts of the source model that onnx-graphsurgeon drops."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx
import onnx_graphsurgeon as gs


def export_graph(
    graph: Any, source: onnx.ModelProto, opset_imports: Iterable[onnx.OperatorSetIdProto] | None = None
) -> onnx.ModelProto:
    """The model of ``graph``, which onnx-graphsurgeon has read from ``source`` and a pass has changed.

    The header (IR version, producer, domain, model version, doc string, metadata), the functions and the types and shapes
    of inputs and outputs are those of ``source``, and so are the opset imports unless ``opset_imports`` replaces them.
    Metadata of nodes is lost: node names carry their origin (see origin.py).
    """
    imports = list(source.opset_import if opset_imports is None else opset_imports)
    model: onnx.ModelProto = gs.export_onnx(graph, opset_imports=imports, ir_version=source.ir_version)
    copy_header(source, model)
    del model.functions[:]
    model.functions.extend(source.functions)
    copy_interface(source, model)
    return model


def copy_header(source: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Give ``model``, in place, the producer, domain, version, doc strings and metadata of ``source``."""
    for name in ("producer_name", "producer_version", "domain", "model_version", "doc_string"):
        setattr(model, name, getattr(source, name))
    del model.metadata_props[:], model.graph.metadata_props[:]
    model.metadata_props.extend(source.metadata_props)
    model.graph.metadata_props.extend(source.graph.metadata_props)
    model.graph.doc_string = source.graph.doc_string


def copy_interface(source: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Give the inputs and outputs of ``model``, in place, the types, shapes and doc strings that they have in ``source``."""
    for target, values in ((model.graph.input, source.graph.input), (model.graph.output, source.graph.output)):
        del target[:]
        target.extend(values)
