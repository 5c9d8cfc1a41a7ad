"""torch.linalg.inv and solve, traced without torch's check for singular matrices, which a graph cannot hold."""

from __future__ import annotations

from typing import Any

import torch

from .function_overrides import Overrides


def _inverse(matrix: torch.Tensor, **options: Any) -> Any:
    return NotImplemented if options else torch.linalg.inv_ex(matrix)[0]


def _solve(matrix: torch.Tensor, side: torch.Tensor, *, left: bool = True, **options: Any) -> Any:
    return NotImplemented if options else torch.linalg.solve_ex(matrix, side, left=left)[0]


OVERRIDES: Overrides = {
    torch.linalg.inv: _inverse,
    torch.inverse: _inverse,
    torch.Tensor.inverse: _inverse,
    torch.linalg.solve: _solve,
}
"""Systems that the translations in ``translations/linear_systems.py`` write as ONNX."""
