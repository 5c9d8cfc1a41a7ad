"""Computed targets of Reshape that only say which axes stay become constants: shape inference can follow those.

    Reshape(x, Concat(Gather(Shape(y), 0), 8, 32, 1, -1))  ->  Reshape(x, [0, 8, 32, 1, -1])

where y's axis 0 is proved to be as long as x's axis 0, and

    Reshape(x (batch, 72, 72), [-1, 8, 9, 8, 9])  ->  Reshape(x, [0, 8, 9, 8, 9]),   since 72 * 72 = 8 * 9 * 8 * 9.

So does the TorchScript exporter write every ``view`` with a free batch,
and inference then knows none of the axes. A 0 copies the length of the same axis; one axis that is no such copy may be -1,
since its length follows from the others.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from ..domain import register_schemas
from ..graph.roundtrip import edited
from ..graph.skeleton import inferred, skeleton, with_weights
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
        model = _inferred_anew(edited(graph, model))
    return model


def _inferred_anew(model: onnx.ModelProto) -> onnx.ModelProto:
    """With shapes as inference finds them now, where it did not know them before; what an exporter has written stays."""
    bare = skeleton(model)
    del bare.graph.value_info[:]
    bare.graph.value_info.extend(entry for entry in model.graph.value_info if not _made_up(entry))
    try:
        return with_weights(inferred(bare), model)
    except onnx.shape_inference.InferenceError:
        return model  # the checker of a later stage says what is wrong


def _made_up(entry: onnx.ValueInfoProto) -> bool:
    """Whether an axis has a symbol that inference made up."""
    return any(dim.dim_param.startswith("unk__") for dim in entry.type.tensor_type.shape.dim)


def _settled(node: Any) -> bool:
    """Put the constant in, if there is one. A Reshape of unknown sizes stays, and one that has a 0 among its numbers."""
    data, target = node.inputs
    if data.shape is None:
        return False
    if (numbers := constant(target)) is not None:
        return _rest_named(node, [int(size) for size in numbers])
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
    return _written(node, sizes)


def _rest_named(node: Any, sizes: list[int]) -> bool:
    """A -1 that stands for the one free axis of the input, in its place, becomes a 0: the copy has a name."""
    shape = node.inputs[0].shape
    if sizes.count(-1) != 1 or 0 in sizes or sizes.index(-1) >= len(shape):
        return False
    rest = sizes.index(-1)
    others = [size for axis, size in enumerate(shape) if axis != rest]
    if isinstance(shape[rest], int) or not all(isinstance(size, int) for size in others):
        return False
    if prod(others) != prod(size for size in sizes if size != -1):
        return False
    return _written(node, [0 if axis == rest else size for axis, size in enumerate(sizes)])


def _written(node: Any, sizes: list[int]) -> bool:
    """These sizes as a constant. A 0 copies: allowzero, which torch writes, would make it a length."""
    node.inputs[1] = gs.Constant(f"{node.name or node.outputs[0].name}/sizes", np.asarray(sizes, np.int64))
    node.attrs.pop("allowzero", None)
    return True


def _same(mine: Linear | None, other: Linear) -> bool:
    return mine is not None and not mine.known and mine == other
