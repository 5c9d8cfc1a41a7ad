"""GridSample by the standard operator, in the spelling of the model's opset (16: bilinear, bicubic; 20: linear, cubic).

TensorRT 10.13 to 11.1 reads the opset-20 spelling ``linear`` as nearest (NVIDIA/TensorRT#4646), so there it is
refused; it also wants image and grid of one type, and takes volumes only from 11.2.1.

With zeros or border as padding, positions are clipped first, to where no tap can reach the image any more: it changes
no sample, and a target that turns a far coordinate into an integer that does not hold it (ONNX Runtime's CPU
provider: a border sample is wrong from 1e10 on, and 1e30 reads the image under zeros) has none to turn. NaN is left
to the target.
"""

from __future__ import annotations

from typing import Any

from .emit import Emit, Value
from .lowering import LAUNCH, Lowering, Where, rank_refusal

_FAR = 1000.0  # (1000 + 1)/2 * size lies outside the image, by more than bicubic's reach, for every size

_SPELLED_ANEW = {"bilinear": "linear", "bicubic": "cubic"}


def _mode(node: Any, opset: int) -> str:
    mode = str(node.attrs["mode"])
    return _SPELLED_ANEW.get(mode, mode) if opset >= 20 else mode


def _refuse(node: Any, where: Where) -> str | None:
    x, grid = node.inputs
    if x.dtype != grid.dtype:
        return f"the image is {x.dtype} and the grid {grid.dtype}: the standard operator takes one type"
    if where.family("tensorrt") and _mode(node, where.opset) == "linear":
        return f"opset {where.opset} spells bilinear as linear, which TensorRT 10.13 to 11.1 reads as nearest"
    return rank_refusal(x, 4, "x") or rank_refusal(grid, 4, "grid")


def _cost(node: Any) -> float:
    return 1.0 + LAUNCH * 2


def _build(emit: Emit, node: Any) -> Value:
    x, grid = node.inputs
    if node.attrs["padding_mode"] != "reflection":
        low, high = (emit.constant(bound, grid.dtype, "bound") for bound in (-_FAR, _FAR))
        grid = emit.op("Clip", grid, low, high)
    return emit.op("GridSample", x, grid, **{**node.attrs, "mode": _mode(node, emit.opset)})


LOWERING = Lowering("grid_sample_native", "GridSample", _refuse, _cost, _build)
