"""GridSample by the standard operator, in its opset-16 spelling (bilinear, nearest, bicubic).

The opset-20 spelling ``linear`` was read as nearest by TensorRT 10.13 to 11.1 (NVIDIA/TensorRT#4646), so the model
stays at opset 18. TensorRT wants image and grid of one type, and volumes only from 11.2.1.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .emit import Emit, Value
from .lowering import LAUNCH, Lowering, rank_refusal


def _refuse(node: Any, targets: Collection[str]) -> str | None:
    x, grid = node.inputs
    if x.dtype != grid.dtype:
        return f"the image is {x.dtype} and the grid {grid.dtype}: the standard operator takes one type"
    return rank_refusal(x, 4, "x") or rank_refusal(grid, 4, "grid")


def _cost(node: Any) -> float:
    return 1.0 + LAUNCH


def _build(emit: Emit, node: Any) -> Value:
    return emit.op("GridSample", *node.inputs, **node.attrs)


LOWERING = Lowering("grid_sample_native", "GridSample", _refuse, _cost, _build)
