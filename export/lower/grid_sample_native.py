"""GridSample by the standard operator, in the spelling of the model's opset (16: bilinear, bicubic; 20: linear, cubic).

TensorRT 10.13 to 11.1 reads the opset-20 spelling ``linear`` as nearest (NVIDIA/TensorRT#4646), so there it is
refused; it takes volumes only from 11.2.1. Image and grid must be of one type: of FP16 and FP32 both become FP32, and
the sample goes back to the image's type.

Targets disagree about positions that are far away or not finite: ONNX Runtime's CPU kernel reads pixel 0 at 1e30 and at
NaN, whatever the padding, and an older one reads beyond the image. So no such position reaches it:

    zeros, border : clip to +-1000, where no tap can reach the image; NaN to pixel 0 under border, outside for nearest
    reflection    : beyond +-1e9, and NaN, to pixel 0, as in PyTorch, whose integers overflow there
    bicubic, and bilinear under zeros : y + 0 * (x + y of the position), which is NaN where PyTorch's sample is NaN
"""

from typing import Any

import numpy as np

from ..graph.builder import GraphBuilder, Value
from ..graph.values import known, rank_refusal
from .lowering import LAUNCH, Lowering, Where

_FAR = 1000.0  # (1000 + 1)/2 * size lies outside the image, by more than bicubic's reach, for every size over 1
_REFLECTED = 1e9

_SPELLED_ANEW = {"bilinear": "linear", "bicubic": "cubic"}
# Passes over the output (a quarter of a nanosecond per value), and the same per point: ONNX Runtime's CPU kernel, measured.
_PASSES = {"bilinear": (8.0, 50.0), "nearest": (28.0, 10.0), "bicubic": (144.0, 150.0)}


def _mode(node: Any, opset: int) -> str:
    mode = str(node.attrs["mode"])
    return _SPELLED_ANEW.get(mode, mode) if opset >= 20 else mode


def _refuse(node: Any, where: Where) -> str | None:
    x, grid = node.inputs
    if where.family("tensorrt") and _mode(node, where.opset) == "linear":
        return f"opset {where.opset} spells bilinear as linear, which TensorRT 10.13 to 11.1 reads as nearest"
    if np.float64 in (x.dtype, grid.dtype):
        return "no target has the standard operator in FP64"
    rules = (str(node.attrs["mode"]), str(node.attrs["padding_mode"]), int(node.attrs["align_corners"]))
    if rules == ("nearest", "reflection", 0) and where.family("ort"):
        return "ONNX Runtime rounds before it reflects, so a tie outside the image goes to the other pixel"
    refusal = rank_refusal(x, 4, "x") or rank_refusal(grid, 4, "grid")
    if refusal is None and rules == ("nearest", "zeros", 1) and 1 in (known(x, 2), known(x, 3)):
        return "with one pixel between aligned corners, no position is outside, so nearest would read it at NaN"
    return refusal


def _cost(node: Any) -> float:
    by_value, by_point = _PASSES[str(node.attrs["mode"])]
    return by_value + by_point / (known(node.inputs[0], 1) or 1) + LAUNCH * 8


def _safe(emit: GraphBuilder, node: Any, grid: Value) -> Value:
    """The positions, none of them out of a kernel's reach."""
    mode, padding = str(node.attrs["mode"]), str(node.attrs["padding_mode"])

    def number(value: float) -> Value:
        return emit.constant(value, grid.dtype, "bound")

    if padding == "reflection":
        most = float(np.finfo(grid.dtype).max)
        # Arithmetic, unlike Where, is what the FP16 stage keeps in FP32 on the way to a sampler.
        held = emit.op("Clip", grid, number(-most), number(most))
        inner = emit.op("LessOrEqual", emit.op("Abs", held), number(min(_REFLECTED, most)), dtype=np.bool_)
        return emit.op("Where", inner, held, number(-1.0), dtype=grid.dtype)
    if _marks_undefined(node) and (mode, padding) != ("bicubic", "border"):
        return emit.op("Clip", grid, number(-_FAR), number(_FAR))
    inner = emit.op("Greater", grid, number(-_FAR), dtype=np.bool_)
    return emit.op("Where", inner, emit.op("Min", grid, number(_FAR)), number(-_FAR), dtype=grid.dtype)


def _marks_undefined(node: Any) -> bool:
    """Whether PyTorch's sample is NaN where a coordinate is not finite."""
    mode = str(node.attrs["mode"])
    return mode == "bicubic" or (mode == "bilinear" and str(node.attrs["padding_mode"]) == "zeros")


def _build(emit: GraphBuilder, node: Any) -> Value:
    x, grid = node.inputs
    image = x
    if x.dtype != grid.dtype:
        image, grid = emit.cast(x, np.float32), emit.cast(grid, np.float32)
    attributes = {**node.attrs, "mode": _mode(node, emit.opset)}
    if not _marks_undefined(node):
        return emit.cast(emit.op("GridSample", image, _safe(emit, node, grid), **attributes), x.dtype)
    # A product over the pair: 0 * x + 0 * y, at one operator for the two that Mul and ReduceSum would be.
    mark = emit.op("MatMul", grid, emit.constant([[0.0], [0.0]], grid.dtype, "nothing"), part="mark")
    mark = emit.transpose(mark, [0, 3, 1, 2])  # (N, Ho, Wo, 1) -> (N, 1, Ho, Wo)
    sample = emit.op("GridSample", image, _safe(emit, node, grid), **attributes)
    return emit.cast(emit.op("Add", sample, mark), x.dtype)


# A GPU: one kernel that works out a position's taps once; reckoned, not measured. The gathers cost what they cost on a CPU.
LOWERING = Lowering("grid_sample_native", "GridSample", _refuse, _cost, _build, gpu_cost=lambda node: 2.0 + LAUNCH * 8)
