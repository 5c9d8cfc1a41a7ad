"""GridSample3d by gathered taps (see sampling.py), since no target's standard operator takes volumes at opset 18.

y[n, :, p] = sum over taps (i, j, k) of wz_i * wy_j * wx_k * x[n, :, z_i, y_j, x_k]
"""

from typing import Any

from ..graph.values import known, rank_refusal
from .lowering import Lowering, Where
from .sampling import sample_by_gather

_PASSES = {"bilinear": (55.0, 350.0), "nearest": (8.0, 60.0)}  # as in grid_sample_gather.py


def _refuse(node: Any, where: Where) -> str | None:
    if str(node.attrs["mode"]) == "bicubic":
        return "bicubic interpolation is not defined for volumes"
    return rank_refusal(node.inputs[0], 5, "x") or rank_refusal(node.inputs[1], 5, "grid")


def _cost(node: Any) -> float:
    by_value, by_point = _PASSES[str(node.attrs["mode"])]
    return by_value + by_point / (known(node.inputs[0], 1) or 1)


LOWERING = Lowering("grid_sample_3d_gather", "GridSample3d", _refuse, _cost, sample_by_gather)
