"""Thin-plate splines (Bookstein, 1989: "Principal Warps"), as section 3.2 of Jaderberg 2015 warps with them.

K control points c_k in the target are read at K places p_k in the source, and the plane between bends as little as it
can. For each coordinate of the source there are weights w (K) and an affine part a (3)::

    source(x, y) = a_0 + a_1 x + a_2 y + sum over k of w_k phi(|(x, y) - c_k|)        phi(r) = r^2 log r
    source(c_k) = p_k for all k;  sum w_k = 0;  sum w_k c_k = 0

The system on the second line has a matrix that depends on the control points alone, so that its inverse is a constant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .sampling_grid import regular_grid


def _phi(squared: Tensor) -> Tensor:
    """r^2 log r of r^2, zero at zero."""
    return 0.5 * squared * torch.where(squared > 0, squared, 1).log()


class ThinPlateSpline(nn.Module):
    """Source places (N, K, 2) of a regular lattice of K = ``side``^2 control points -> grid (N, H, W, 2).

    The control points cover [-1, 1] x [-1, 1], row by row, corners included; places are (x, y). Raises ValueError
    where ``side`` is below 2.
    """

    def __init__(self, side: int = 4) -> None:
        super().__init__()
        if side < 2:
            raise ValueError(f"{side} control points to a side do not span an image: it takes 2 or more")
        # In FP64 and no buffers, so that the dtype of the module does not round them; see forward.
        self.control = regular_grid((side, side), True, torch.empty((), dtype=torch.float64)).flatten(0, 1)
        count = side**2
        system = torch.zeros(count + 3, count + 3, dtype=torch.float64)
        system[:count] = self.terms(self.control, self.control)
        system[count:, :count] = system[:count, count:].T
        self.inverse = torch.linalg.inv(system)[:, :count]

    @staticmethod
    def terms(places: Tensor, control: Tensor) -> Tensor:
        """The terms of the spline at ``places`` (P, 2): (P, K + 3), phi for each control point, then 1, x, y."""
        squared = (places[:, None] - control).square().sum(2)
        return torch.cat((_phi(squared), torch.ones_like(places[:, :1]), places), dim=1)

    def forward(self, points: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
        """The grid of ``size`` (H, W) that reads control point k at ``points[:, k]``."""
        target = regular_grid(size, align_corners, points)
        terms = self.terms(target.flatten(0, 1), self.control.to(points))
        grid: Tensor = (terms @ self.inverse.to(points) @ points).unflatten(1, target.shape[:2])
        return grid
