"""GridSample by the standard operator, in its opset-16 spelling (bilinear, nearest, bicubic).

The opset-20 spelling ``linear`` was read as nearest by TensorRT 10.13 to 11.1 (NVIDIA/TensorRT#4646), so the model
stays at opset 18. TensorRT wants image and grid of one type, and volumes only from 11.2.1.

With zeros or border as padding, positions are clipped first, to where no tap can reach the image any more: it changes
no sample, and a target that turns a far coordinate into an integer that does not hold it (ONNX Runtime's CPU
provider: a border sample is wrong from 1e10 on, and 1e30 reads the image under zeros) has none to turn. NaN is left
to the target.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .emit import Emit, Value
from .lowering import LAUNCH, Lowering, rank_refusal

_FAR = 1000.0  # (1000 + 1)/2 * size lies outside the image, by more than bicubic's reach, for every size


def _refuse(node: Any, targets: Collection[str]) -> str | None:
    x, grid = node.inputs
    if x.dtype != grid.dtype:
        return f"the image is {x.dtype} and the grid {grid.dtype}: the standard operator takes one type"
    return rank_refusal(x, 4, "x") or rank_refusal(grid, 4, "grid")


def _cost(node: Any) -> float:
    return 1.0 + LAUNCH * 2


def _build(emit: Emit, node: Any) -> Value:
    x, grid = node.inputs
    if node.attrs["padding_mode"] != "reflection":
        low, high = (emit.constant(bound, grid.dtype, "bound") for bound in (-_FAR, _FAR))
        grid = emit.op("Clip", grid, low, high)
    return emit.op("GridSample", x, grid, **node.attrs)


LOWERING = Lowering("grid_sample_native", "GridSample", _refuse, _cost, _build)
