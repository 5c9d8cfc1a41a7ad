"""Computed targets of Reshape that only say which axes stay become constants: shape inference can follow those.

    Reshape(x, Concat(Gather(Shape(y), 0), 8, 32, 1, -1))  ->  Reshape(x, [0, 8, 32, 1, -1])

where y's axis 0 is proved to be as long as x's axis 0. So does the TorchScript exporter write every ``view`` with a free batch,
and inference then knows none of the axes. A 0 copies the length of the same axis; one axis that is no such copy may be -1,
since its length follows from the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from ..domain import register_schemas
from ..raising.linear import Linear
from ..raising.sizes import constant, integers, length

ROUNDS = 8
"""Each round lets inference see one Reshape further at least; what is not settled by then stays computed."""


def settle_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with such Reshapes, and with the shapes that inference then finds. ``model`` is not changed."""
    register_schemas()
    model = _inferred_anew(model)
    for _ in range(ROUNDS):
        graph = gs.import_onnx(model)
        changed = [node for node in graph.nodes if node.op == "Reshape" and not node.domain and _settled(node)]
        if not changed:
            break
        graph.cleanup()
        settled: onnx.ModelProto = gs.export_onnx(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        settled.metadata_props.extend(model.metadata_props)
        settled.graph.metadata_props.extend(model.graph.metadata_props)
        for mine, theirs in ((settled.graph.input, model.graph.input), (settled.graph.output, model.graph.output)):
            del mine[:]
            mine.extend(theirs)
        model = _inferred_anew(settled)
    return model


def _inferred_anew(model: onnx.ModelProto) -> onnx.ModelProto:
    """With shapes as inference finds them now, where it did not know them before; what an exporter has written stays."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    bare.graph.value_info.extend(entry for entry in model.graph.value_info if not _made_up(entry))
    try:
        return onnx.shape_inference.infer_shapes(bare, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return model  # the checker of a later stage says what is wrong


def _made_up(entry: onnx.ValueInfoProto) -> bool:
    """Whether an axis has a symbol that inference made up."""
    return any(dim.dim_param.startswith("unk__") for dim in entry.type.tensor_type.shape.dim)


def _settled(node: Any) -> bool:
    """Put the constant in, if there is one. Reshape by a constant, with allowzero, or of unknown sizes stays."""
    data, target = node.inputs
    if constant(target) is not None or node.attrs.get("allowzero") or data.shape is None:
        return False
    wanted = integers(target)
    if wanted is None:
        return False
    sizes: list[int] = []
    for axis, size in enumerate(wanted):
        if size.known:
            sizes.append(int(size.constant))
        elif axis < len(data.shape) and _same(length(data, axis), size):
            sizes.append(0)
        elif -1 not in sizes and not any(other.known and other.constant == -1 for other in wanted):
            sizes.append(-1)
        else:
            return False
    if any(size.known and size.constant == 0 for size in wanted):
        return False  # a 0 that was there copies an axis too, and says so already
    node.inputs[1] = gs.Constant(f"{node.name or node.outputs[0].name}/sizes", np.asarray(sizes, np.int64))
    return True


def _same(mine: Linear | None, other: Linear) -> bool:
    return mine is not None and not mine.known and mine == other
