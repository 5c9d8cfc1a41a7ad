"""InstanceNormalization of large maps with its sums taken in stages, for the FP32 model.

    y = (x - m) scale / sqrt(v + epsilon) + bias,      m = mean of x, v = mean of (x - m)^2 over the map

ONNX Runtime's CPU kernel adds a map's values one after the other in FP32. Its relative error on maps of normal values around 1: 1.4e-7
of 64 x 64, 4e-7 of 256 x 256, 1.3e-6 of 64^3, 2.9e-5 of 128^3; so MONAI's networks on volumes were refused. Means of rows, and then of
those means, are within 1.3e-7 for all of these, PyTorch within 1e-7. A map in one axis (N, C, L), as GroupNorm is written, is cut into
several axes first. It costs 2 to 3 times the kernel's own time.

Only the FP32 model: FP16 has errors a hundred times as large, and TensorRT a normalisation of its own. Refused: a map whose size is not
known or below 16,384 values, and one in a single axis that is free or has a prime factor above 2048.
"""

import math
from typing import Any

import numpy as np

from ..graph.builder import GraphBuilder, Value
from ..graph.values import known
from .lowering import Lowering, Where, opt_shape

LARGE = 1 << 14
"""Values in a map from which on the kernel's sums err by several times what PyTorch's do."""
LONGEST = 1 << 11
"""Values that are added up at once, where that can be chosen."""


def _cut(length: int) -> tuple[int, ...] | None:
    """Factors of ``length``, none above LONGEST, each near the root of what it was cut from."""
    if length <= LONGEST:
        return (length,)
    rows = next((n for n in range(math.isqrt(length), 1, -1) if length % n == 0), length)
    parts = [_cut(part) for part in (rows, length // rows)] if rows < length else [None]
    return None if any(part is None for part in parts) else tuple(n for part in parts if part for n in part)


def _refuse(node: Any, where: Where) -> str | None:
    x = node.inputs[0]
    shape = opt_shape(x) or x.shape
    if shape is None or len(shape) < 3 or not all(isinstance(size, int) for size in shape[2:]):
        return "the size of the map is not known"
    if math.prod(shape[2:]) < LARGE:
        return f"a map of {math.prod(shape[2:])} values is small: the kernel's sums are exact enough below {LARGE}"
    if len(shape) > 3:
        return None
    length = known(x, 2)
    if length is None:
        return "the map's only axis is free"
    return None if _cut(length) else f"the map's only axis of {length} has a prime factor above {LONGEST}"


def _build(emit: GraphBuilder, node: Any) -> Value:
    x, scale, bias = node.inputs
    cut = _cut(known(x, 2) or 1) if len(x.shape) == 3 else None
    rank = 2 + len(cut) if cut else len(x.shape)
    if cut:
        x = emit.reshape(x, [0, 0, *cut])

    def mean(value: Value) -> Value:
        for axis in range(rank - 1, 1, -1):
            value = emit.op("ReduceMean", value, emit.ints([axis]), part="mean")
        return value

    centred = emit.op("Sub", x, mean(x), part="centred")
    variance = mean(emit.op("Mul", centred, centred, part="squares"))
    epsilon = emit.constant(node.attrs.get("epsilon", 1e-5), np.float32, "epsilon")
    deviation = emit.op("Sqrt", emit.op("Add", variance, epsilon, part="variance"), part="deviation")
    scale, bias = (emit.reshape(one, [1, -1, *[1] * (rank - 2)]) for one in (scale, bias))
    scaled = emit.op("Mul", centred, emit.op("Div", scale, deviation, part="gain"), part="scaled")
    y = emit.op("Add", scaled, bias, part="shifted")
    return emit.reshape(y, [0, 0, -1]) if cut else y


LOWERING = Lowering("instance_norm_stages", "InstanceNormalization", _refuse, lambda node: 8.0, _build, standard=True)
