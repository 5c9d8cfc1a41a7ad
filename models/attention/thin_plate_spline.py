"""Thin-plate splines (Bookstein, 1989: "Principal Warps"), as section 3.2 of Jaderberg 2015 warps with them.

K control points c_k in the target are read at K places p_k in the source, and the plane between bends as little as it
can. For each coordinate of the source there are weights w (K) and an affine part a (3)::

    source(x, y) = a_0 + a_1 x + a_2 y + sum over k of w_k phi(|(x, y) - c_k|)        phi(r) = r^2 log r
    source(c_k) = p_k for all k;  sum w_k = 0;  sum w_k c_k = 0

The second line is a linear system whose matrix L depends on the control points alone, so that for an output of known
size all source places are one constant matrix (H * W, K) times the places p: the terms of the first line times L^-1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .sampling_grid import regular_grid


def _terms(places: Tensor, control: Tensor) -> Tensor:
    """The terms of a spline at ``places`` (P, 2): (P, K + 3), phi for each control point, then 1, x, y."""
    squared = (places[:, None] - control).square().sum(2)
    phi = 0.5 * squared * torch.where(squared > 0, squared, 1).log()
    return torch.cat((phi, torch.ones_like(places[:, :1]), places), dim=1)


class ThinPlateSpline(nn.Module):
    """Source places (N, K, 2) of a regular lattice of K = ``side``^2 control points -> grid (N, H, W, 2).

    The control points cover [-1, 1] x [-1, 1], row by row, corners included; places are (x, y). ``size`` is (H, W) and
    ``align_corners`` that of ``grid_sample``. Raises ValueError where ``side`` is below 2.
    """

    def __init__(self, side: int, size: tuple[int, int], *, align_corners: bool = False) -> None:
        super().__init__()
        if side < 2:
            raise ValueError(f"{side} control points to a side do not span an image: it takes 2 or more")
        like = torch.empty((), dtype=torch.float64)
        count = side**2
        control = regular_grid((side, side), True, like).flatten(0, 1)
        system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
        system[:count] = _terms(control, control)
        system[count:, :count] = system[:count, count:].T
        target = regular_grid(size, align_corners, like).flatten(0, 1)
        # In FP64 and no buffers: a module that becomes FP32 and then FP64 again, to be compared, loses no digits.
        self.control = control
        self.matrix = _terms(target, control) @ torch.linalg.inv(system)[:, :count]
        self.size = size

    def forward(self, points: Tensor) -> Tensor:
        """The grid that reads control point k at ``points[:, k]``."""
        grid: Tensor = (self.matrix.to(points) @ points).unflatten(1, self.size)
        return grid
