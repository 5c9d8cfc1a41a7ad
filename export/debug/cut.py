"""Cut a part of a stage's graph into a separate model, from its input tensors to one output."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor

from ..precision.graph import captured
from ..verify.graphs import Flow


def border(flow: Flow, region: Collection[str]) -> tuple[set[str], set[str]]:
    """Return the tensors that the nodes of ``region`` read from outside: data, and tensors for sizes and axes."""
    data: set[str] = set()
    every: set[str] = set()
    for name in region:
        node = flow.maker[name]
        data.update(flow.sources(name))
        every.update(name for name in (*node.input, *captured(node)) if name)
    produced = {name for tensor in region for name in flow.maker[tensor].output}
    return data - produced, every - data - produced


def cut(
    light: ModelProto,
    folder: Path,
    region: Collection[str],
    tensor: str,
    feeds: Mapping[str, np.ndarray],
    constants: Mapping[str, np.ndarray],
    output: np.ndarray,
    kinds: Mapping[str, int],
) -> ModelProto:
    """Return a model of the nodes that produce the tensors of ``region``, with their weights from ``folder``.

    ``feeds`` are its inputs with their types and shapes, ``constants`` its sizes and axes. ``tensor`` is its only output,
    with the type and shape of ``output``. ``kinds``: element types that NumPy does not have.
    """
    nodes = [node for node in light.graph.node if any(name in region for name in node.output)]
    used = {name for node in nodes for name in (*node.input, *captured(node)) if name}
    part = ModelProto(ir_version=light.ir_version)
    part.opset_import.extend(light.opset_import)
    part.functions.extend(light.functions)
    part.graph.name = "part"
    part.graph.node.extend(nodes)
    part.graph.input.extend(_value(name, array, kinds) for name, array in feeds.items())
    part.graph.output.append(_value(tensor, output, kinds))
    for weight in light.graph.initializer:
        if weight.name in used and weight.name not in feeds:
            loaded = TensorProto()
            loaded.CopyFrom(weight)
            if loaded.data_location == TensorProto.EXTERNAL:
                load_external_data_for_tensor(loaded, str(folder))
                loaded.data_location = TensorProto.DEFAULT
                del loaded.external_data[:]
            part.graph.initializer.append(loaded)
    part.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in constants.items() if name in used
    )
    return part


def _value(name: str, array: np.ndarray, kinds: Mapping[str, int]) -> onnx.ValueInfoProto:
    kind = kinds.get(name) or helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, list(array.shape))
