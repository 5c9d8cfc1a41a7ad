"""GridSample3d by gathered taps (see sampling.py), since no target's standard operator takes volumes at opset 18.

y[n, :, p] = sum over taps (i, j, k) of wz_i * wy_j * wx_k * x[n, :, z_i, y_j, x_k]
"""

from __future__ import annotations

from typing import Any

from .lowering import LAUNCH, Lowering, Where, rank_refusal
from .sampling import TAPS, sample_by_gather, tap_cost


def _refuse(node: Any, where: Where) -> str | None:
    if str(node.attrs["mode"]) == "bicubic":
        return "bicubic interpolation is not defined for volumes"
    return rank_refusal(node.inputs[0], 5, "x") or rank_refusal(node.inputs[1], 5, "grid")


def _cost(node: Any) -> float:
    return tap_cost(node, 3) + LAUNCH * 30 * TAPS[str(node.attrs["mode"])]


LOWERING = Lowering("grid_sample_3d_gather", "GridSample3d", _refuse, _cost, sample_by_gather)
