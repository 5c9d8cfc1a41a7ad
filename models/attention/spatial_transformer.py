"""Spatial transformer (Jaderberg, Simonyan, Zisserman, Kavukcuoglu, 2015: "Spatial Transformer Networks").

A localisation network reads the input U (N, C, H, W) and gives theta, section 3.1. Each target pixel (x_t, y_t) of the
regular grid, in coordinates normalised to [-1, 1], is read at (x_s, y_s), section 3.2::

    affine              theta (N, 2, 3)    (x_s, y_s) = theta @ (x_t, y_t, 1)                       equation 1
    projective          theta (N, 3, 3)    (u, v, w) = theta @ (x_t, y_t, 1);  (x_s, y_s) = (u, v) / w
    thin_plate_spline   theta (N, K, 2)    the places of a lattice of K control points, the rest by a spline

by bilinear sampling (section 3.3, equation 5), so that the gradient reaches theta::

    V[n, c, i] = sum over h, w of U[n, c, h, w] * max(0, 1 - |x_s - w|) * max(0, 1 - |y_s - h|)

or by another kernel of ``grid_sample``. A projective theta has eight free numbers: its last one is 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .sampling_grid import projective_grid
from .thin_plate_spline import ThinPlateSpline

TRANSFORMS = ("affine", "projective", "thin_plate_spline")
MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")


class SpatialTransformer(nn.Module):
    """(N, C, H, W) -> (N, C, H, W), or (N, C, *size) where ``size`` is given.

    ``localisation`` maps the input to (N, ``features``); the regression to the numbers of theta is added here, with
    zero weights and the identity as bias, so that an untrained module returns its input. ``points`` is the number of
    control points to a side of the thin-plate spline's lattice (the paper's 16 are 4 x 4). ``mode``, ``padding_mode``
    and ``align_corners`` are those of ``grid_sample``. Raises ValueError for an unknown transform or mode, and for a
    thin-plate spline without ``size``, on which its constants depend.
    """

    map_kind = "grid"

    def __init__(
        self,
        localisation: nn.Module,
        features: int,
        *,
        transform: str = "affine",
        points: int = 4,
        size: tuple[int, int] | None = None,
        mode: str = "bilinear",
        padding_mode: str = "zeros",
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if transform not in TRANSFORMS:
            raise ValueError(f"transform {transform!r} is not one of {', '.join(TRANSFORMS)}")
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is not one of {', '.join(MODES)}")
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode {padding_mode!r} is not one of {', '.join(PADDING_MODES)}")
        self.localisation = localisation
        self.transform = transform
        self.spline: ThinPlateSpline | None = None
        if transform == "thin_plate_spline":
            if size is None:
                raise ValueError("a thin_plate_spline needs the size of its output, as size=(height, width)")
            self.spline = ThinPlateSpline(points, size, align_corners=align_corners)
        identity = self._identity()
        self.regressor = nn.Linear(features, identity.numel())
        self.size = size
        self.mode = mode
        self.padding_mode = padding_mode
        self.align_corners = align_corners
        nn.init.zeros_(self.regressor.weight)
        with torch.no_grad():
            self.regressor.bias.copy_(identity)

    def _identity(self) -> Tensor:
        """The regressed numbers of the transform that changes nothing."""
        if self.spline is not None:
            return self.spline.control.flatten()
        return torch.eye(2, 3).flatten() if self.transform == "affine" else torch.eye(3).flatten()[:8]

    def theta(self, x: Tensor) -> Tensor:
        """What the localisation network finds for ``x``: (N, 2, 3), (N, 3, 3) or (N, K, 2), by the transform."""
        numbers = self.regressor(self.localisation(x))
        if self.transform == "projective":
            numbers = torch.cat((numbers, torch.ones_like(numbers[:, :1])), dim=1)
        shape = {"affine": (2, 3), "projective": (3, 3), "thin_plate_spline": (-1, 2)}[self.transform]
        theta: Tensor = numbers.unflatten(1, shape)
        return theta

    def grid(self, x: Tensor) -> Tensor:
        """Where each pixel of the output reads ``x``: (N, H, W, 2)."""
        theta = self.theta(x)
        if self.spline is not None:
            spline: Tensor = self.spline(theta)
            return spline
        height, width = self.size or x.shape[-2:]
        if self.transform == "projective":
            return projective_grid(theta, (height, width), self.align_corners)
        return F.affine_grid(theta, [x.shape[0], x.shape[1], height, width], align_corners=self.align_corners)

    def attention_map(self, x: Tensor) -> Tensor:
        """The grid, (N, H, W, 2)."""
        return self.grid(x)

    def forward(self, x: Tensor) -> Tensor:
        """Sample ``x`` on the grid that theta describes."""
        return F.grid_sample(
            x, self.grid(x), mode=self.mode, padding_mode=self.padding_mode, align_corners=self.align_corners
        )
