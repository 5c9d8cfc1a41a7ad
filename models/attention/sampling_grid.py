"""Grids that say where to read an image, in the coordinates of ``grid_sample``: (x, y), normalised to [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor


def _positions(count: int, align_corners: bool, like: Tensor) -> Tensor:
    steps = 2 * torch.arange(count, dtype=like.dtype, device=like.device)
    if align_corners:
        return steps / (count - 1) - 1 if count > 1 else 0 * steps
    return (steps + 1) / count - 1


def regular_grid(size: tuple[int, int], align_corners: bool, like: Tensor) -> Tensor:
    """The place of every pixel of an image of ``size`` (H, W): (H, W, 2), of dtype and device of ``like``.

    With ``align_corners`` -1 and 1 are the centres of the outermost pixels, without it their outer edges.
    """
    rows, columns = (_positions(count, align_corners, like) for count in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), dim=-1)


def projective_grid(theta: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """What the projective matrices ``theta`` (N, 3, 3) make of the regular grid: (N, H, W, 2).

    For each target pixel (x, y): ``(u, v, w) = theta @ (x, y, 1)``, read at ``(u / w, v / w)``. Where w is zero, the
    place is infinite.
    """
    target = regular_grid(size, align_corners, theta)
    homogeneous = torch.cat((target, torch.ones_like(target[..., :1])), dim=-1).flatten(0, 1)
    source = homogeneous @ theta.transpose(1, 2)
    grid: Tensor = (source[..., :2] / source[..., 2:]).unflatten(1, target.shape[:2])
    return grid
