"""A graph that onnx-graphsurgeon has changed, as a model: what graphsurgeon does not carry comes from the model that it was read from."""

from __future__ import annotations

from typing import Any

import onnx
import onnx_graphsurgeon as gs


def edited(graph: Any, source: onnx.ModelProto) -> onnx.ModelProto:
    """With the source's opsets, IR version, metadata, and the shapes of its inputs and outputs."""
    model: onnx.ModelProto = gs.export_onnx(graph, opset_imports=source.opset_import, ir_version=source.ir_version)
    model.metadata_props.extend(source.metadata_props)
    model.graph.metadata_props.extend(source.graph.metadata_props)
    for mine, theirs in ((model.graph.input, source.graph.input), (model.graph.output, source.graph.output)):
        del mine[:]
        mine.extend(theirs)
    return model
