"""Adaptive pooling, which torch.onnx takes apart into GatherND where a size does not divide, or cannot export at all.

Sizes that divide, where that is known, and the pool to a single value become the native pooling; others one node of the
``attnexport`` domain for each axis.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnxscript import opset18 as op

from ....errors import UnsupportedModelError
from .shared import Translations, aten, domain, ints

_AVERAGE, _MAX = "AdaptiveAverage", "AdaptiveMax"


def _native(name: str, x: Any, lengths: Sequence[Any], counts: Sequence[Any]) -> Any | None:
    """The pooling operator of ONNX for windows that tile every axis; None where they do not, or that is not known."""
    if all(isinstance(count, int) and count == 1 for count in counts):
        reduce = op.ReduceMean if name == _AVERAGE else op.ReduceMax
        return reduce(x, ints(*range(2, 2 + len(counts))), keepdims=1)
    pairs = list(zip(lengths, counts, strict=True))
    if not all(isinstance(size, int) for size in (*lengths, *counts)) or any(length % count for length, count in pairs):
        return None
    kernel = [length // count for length, count in pairs]
    if name == _AVERAGE:
        return op.AveragePool(x, kernel_shape=kernel, strides=kernel)
    return op.MaxPool(x, kernel_shape=kernel, strides=kernel)[0]


def _pool(name: str, axes: int, x: Any, size: Any) -> Any:
    """``axes`` last axes pooled to ``size``, whose entries may be symbolic scalars."""
    rank = len(x.shape)  # read first: the result of a node of the domain has no shape yet
    counts = [size] * axes if isinstance(size, int) else list(size)
    lengths = [x.shape[rank - axes + place] for place in range(axes)]
    if rank == axes + 2 and (native := _native(name, x, lengths, counts)) is not None:
        return native
    pool = getattr(domain, name)
    for place, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        if not (isinstance(length, int) and isinstance(count, int) and length == count):
            number = ints(count) if isinstance(count, int) else op.Reshape(count, ints(-1))
            x = pool(x, number, axis=rank - axes + place)
    return x


def _average(axes: int) -> Callable[..., Any]:
    return lambda x, output_size: _pool(_AVERAGE, axes, x, output_size)


def _max(axes: int) -> Callable[..., Any]:
    """The second result is the indices: refuse_indices has checked that nothing reads them."""
    return lambda x, output_size: (_pool(_MAX, axes, x, output_size), ints(0))


def refuse_indices(program: torch.export.ExportedProgram) -> None:
    """Raise UnsupportedModelError where the indices of an adaptive maximum are used: they are not translated."""
    for node in program.graph.nodes:
        if node.target is not operator.getitem or node.args[1] != 1 or not node.users:
            continue
        source = node.args[0]
        if str(source.target).startswith("aten.adaptive_max_pool"):
            raise UnsupportedModelError(
                f"the indices of {source.target} ({source.name}) are used, and ONNX has no counterpart for them",
                "use the maxima alone, or a pooling of fixed kernel with return_indices",
            )


POOLING: Translations = {
    aten.adaptive_avg_pool1d.default: _average(1),
    **dict.fromkeys((aten.adaptive_avg_pool2d.default, aten._adaptive_avg_pool2d.default), _average(2)),
    **dict.fromkeys((aten.adaptive_avg_pool3d.default, aten._adaptive_avg_pool3d.default), _average(3)),
    aten.adaptive_max_pool1d.default: _max(1),
    aten.adaptive_max_pool2d.default: _max(2),
    aten.adaptive_max_pool3d.default: _max(3),
}
