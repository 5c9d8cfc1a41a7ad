"""Replace computed sizes of Reshape by constants, so that shape inference can follow them.

    Reshape(x, Concat(Gather(Shape(y), 0), 8, 32, 1, -1))  ->  Reshape(x, [0, 8, 32, 1, -1])

if y's axis 0 is known to be as long as x's axis 0, and

    Reshape(x (batch, 72, 72), [-1, 8, 9, 8, 9])  ->  Reshape(x, [0, 8, 9, 8, 9]),   since 72 * 72 = 8 * 9 * 8 * 9.

The TorchScript exporter writes every ``view`` with a free batch like this, and inference then knows none of the axes.
A 0 copies the length of the same axis. One other axis may be -1, since its length follows from the rest.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from ..domain import register_schemas
from ..graph.model import export_graph, inferred, skeleton, with_weights
from ..graph.rewrites import Refusal, Rewrite, Simplified
from ..graph.shapes import all_integers, constant, length

ROUNDS = 8
"""Each round lets inference see at least one Reshape further; sizes that are not settled by then stay computed."""
_RULE = "settle_shapes"


def settle_shapes(model: onnx.ModelProto) -> Simplified:
    """Settle such Reshapes and infer the shapes behind them. ``model`` is not changed."""
    register_schemas()
    model = _inferred_anew(model)
    applied: dict[str, Rewrite] = {}
    refused: dict[str, Refusal] = {}
    for _ in range(ROUNDS):
        graph = gs.import_onnx(model)
        refused, changed = {}, False
        for node in graph.nodes:
            sizes = _settled(node) if node.op == "Reshape" and not node.domain else None
            name = node.name or (node.outputs[0].name if node.outputs else "")
            if isinstance(sizes, str):
                refused[name] = Refusal(_RULE, name, sizes)
            elif sizes is not None:
                applied[name], changed = Rewrite(_RULE, name, f"sizes {sizes}"), True
                _write(node, sizes)
        if not changed:
            break
        graph.cleanup()
        model = _inferred_anew(export_graph(graph, model))
    return Simplified(model, tuple(applied.values()), tuple(refused.values()))


def _inferred_anew(model: onnx.ModelProto) -> onnx.ModelProto:
    """Infer shapes again. Shapes that the exporter wrote stay; symbols that inference made up are replaced."""
    bare = skeleton(model)
    del bare.graph.value_info[:]
    bare.graph.value_info.extend(entry for entry in model.graph.value_info if not _made_up(entry))
    try:
        return with_weights(inferred(bare), model)
    except onnx.shape_inference.InferenceError:
        return model  # the checker of a later stage reports the contradiction


def _made_up(entry: onnx.ValueInfoProto) -> bool:
    """Whether inference made up the symbol of an axis."""
    return any(dim.dim_param.startswith("unk__") for dim in entry.type.tensor_type.shape.dim)


def _settled(node: Any) -> list[int] | str | None:
    """Constant sizes that are better than those of the node; None if its sizes are good, a reason if they stay computed."""
    data, target = node.inputs
    values = constant(target)
    if data.shape is None:
        return None if values is not None else "the rank of its input is not known"
    if values is not None:
        return _rest_named(data.shape, [int(size) for size in values])
    computed = all_integers(target)
    if computed is None:
        return "its sizes are not computed from lengths of axes"
    numbers = [size.value for size in computed]
    if 0 in numbers:
        return "a 0 among its sizes copies an axis already"
    sizes: list[int] = []
    for axis, (size, number) in enumerate(zip(computed, numbers, strict=True)):
        if number is not None:
            sizes.append(number)
        elif axis < len(data.shape) and size == length(data, axis):
            sizes.append(0)
        elif -1 not in sizes + numbers:
            sizes.append(-1)
        else:
            return "two of its sizes are neither numbers nor the length of the same axis"
    return sizes


def _rest_named(shape: Sequence[int | str], sizes: list[int]) -> list[int] | None:
    """Sizes with a 0 instead of -1, if the -1 is the one free axis of the input, at the same place: the copy keeps its name."""
    if sizes.count(-1) != 1 or 0 in sizes or sizes.index(-1) >= len(shape):
        return None
    rest = sizes.index(-1)
    others = [size for axis, size in enumerate(shape) if axis != rest]
    if isinstance(shape[rest], int) or not all(isinstance(size, int) for size in others):
        return None
    if prod(int(size) for size in others) != prod(size for size in sizes if size != -1):
        return None
    return [0 if axis == rest else size for axis, size in enumerate(sizes)]


def _write(node: Any, sizes: list[int]) -> None:
    """Write the sizes as a constant. A 0 copies: with allowzero, which torch writes, it would be a length."""
    node.inputs[1] = gs.Constant(f"{node.name or node.outputs[0].name}/sizes", np.asarray(sizes, np.int64))
    node.attrs.pop("allowzero", None)
