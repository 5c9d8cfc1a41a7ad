"""GridSample by gathered taps (see sampling.py): every mode, padding and corner rule.

The image and the grid may be of different types.

y[n, :, p] = sum over taps (i, j) of wy_i * wx_j * x[n, :, y_i, x_j]
"""

from __future__ import annotations

from typing import Any

from .lowering import LAUNCH, Lowering, Where, rank_refusal
from .sampling import TAPS, sample_by_gather, tap_cost


def _refuse(node: Any, where: Where) -> str | None:
    return rank_refusal(node.inputs[0], 4, "x") or rank_refusal(node.inputs[1], 4, "grid")


def _cost(node: Any) -> float:
    return tap_cost(node, 2) + LAUNCH * 20 * TAPS[str(node.attrs["mode"])]


LOWERING = Lowering("grid_sample_gather", "GridSample", _refuse, _cost, sample_by_gather)
