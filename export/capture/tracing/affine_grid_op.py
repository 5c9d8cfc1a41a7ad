"""F.affine_grid with free sizes: torch.export fixes H and W at their example values, since the operator's kernel takes plain integers.

While a module is traced, a function mode sends ``F.affine_grid`` to an operator of our own whose shape rule keeps the sizes symbolic
(pytorch#30563). The module itself is not touched, and the reference that parity compares with runs without the mode.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from .function_overrides import Overrides


@torch.library.custom_op("attnexport::affine_grid", mutates_args=())
def affine_grid(theta: torch.Tensor, size: Sequence[int], align_corners: bool) -> torch.Tensor:
    """``F.affine_grid``: theta (N, 2, 3), size (N, C, H, W) -> (N, H, W, 2); with a depth axis (N, 3, 4) -> (N, D, H, W, 3)."""
    return F.affine_grid(theta, list(size), align_corners)


@affine_grid.register_fake
def _(theta: torch.Tensor, size: Sequence[int], align_corners: bool) -> torch.Tensor:
    return theta.new_empty([size[0], *size[2:], len(size) - 2])


def _record(theta: torch.Tensor, size: Sequence[int], align_corners: bool | None = None) -> torch.Tensor:
    result: torch.Tensor = torch.ops.attnexport.affine_grid(theta, list(size), bool(align_corners))
    return result


OVERRIDES: Overrides = {F.affine_grid: _record}
"""``F.affine_grid`` is recorded as one ``attnexport::affine_grid`` call."""
