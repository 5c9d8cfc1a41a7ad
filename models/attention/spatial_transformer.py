"""Spatial transformer, affine form (Jaderberg, Simonyan, Zisserman, Kavukcuoglu, 2015: "Spatial Transformer Networks").

A localisation network reads the input U (N, C, H, W) and gives theta (N, 2, 3), section 3.1. Each target pixel (x_t,
y_t) of the regular grid is read at (section 3.2, equation 1)::

    (x_s, y_s) = theta @ (x_t, y_t, 1)          coordinates normalised to [-1, 1]

by bilinear sampling (section 3.3, equation 5), so that the gradient reaches theta::

    V[n, c, i] = sum over h, w of U[n, c, h, w] * max(0, 1 - |x_s - w|) * max(0, 1 - |y_s - h|)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")


class SpatialTransformer(nn.Module):
    """(N, C, H, W) -> (N, C, H, W), or (N, C, *size) where ``size`` is given.

    ``localisation`` maps the input to (N, ``features``); the regression to the six numbers of theta is added here,
    with zero weights and the identity as bias, so that an untrained module returns its input. ``mode``,
    ``padding_mode`` and ``align_corners`` are those of ``grid_sample``. Raises ValueError for an unknown mode.
    """

    def __init__(
        self,
        localisation: nn.Module,
        features: int,
        *,
        size: tuple[int, int] | None = None,
        mode: str = "bilinear",
        padding_mode: str = "zeros",
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is not one of {', '.join(MODES)}")
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode {padding_mode!r} is not one of {', '.join(PADDING_MODES)}")
        self.localisation = localisation
        self.regressor = nn.Linear(features, 6)
        self.size = size
        self.mode = mode
        self.padding_mode = padding_mode
        self.align_corners = align_corners
        nn.init.zeros_(self.regressor.weight)
        with torch.no_grad():
            self.regressor.bias.copy_(torch.eye(2, 3).flatten())

    def theta(self, x: Tensor) -> Tensor:
        """The affine matrices (N, 2, 3) that the localisation network finds for ``x``."""
        theta: Tensor = self.regressor(self.localisation(x)).unflatten(1, (2, 3))
        return theta

    def forward(self, x: Tensor) -> Tensor:
        """Sample ``x`` on the grid that theta describes."""
        height, width = self.size or x.shape[-2:]
        grid = F.affine_grid(self.theta(x), [x.shape[0], x.shape[1], height, width], align_corners=self.align_corners)
        return F.grid_sample(x, grid, mode=self.mode, padding_mode=self.padding_mode, align_corners=self.align_corners)
