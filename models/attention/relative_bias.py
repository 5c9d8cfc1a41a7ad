"""Relative position biases: one learned number per head and offset, added to the scores of attention.

One dimension (Raffel et al., 2020, arXiv:1910.10683, section 2.1, without its buckets), queries i, keys j::

    bias[h, i, j] = table[h, i - j + length - 1]

Two dimensions (Liu et al., 2021: "Swin Transformer", arXiv:2103.14030, section 3.2, equation 4), tokens in row-major
order, token i at (y_i, x_i)::

    bias[h, i, j] = table[h, (y_i - y_j + height - 1) * (2 * width - 1) + x_i - x_j + width - 1]
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _offsets(length: int) -> Tensor:
    """i - j + length - 1 for every i (rows) and j (columns)."""
    places = torch.arange(length)
    return places[:, None] - places[None, :] + length - 1


class RelativeBias(nn.Module):
    """A table (heads, offsets), read by ``index`` (L, L): forward gives (heads, L, L)."""

    index: Tensor

    def __init__(self, heads: int, offsets: int, index: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(heads, offsets) * 0.02)
        self.register_buffer("index", index, persistent=False)

    def forward(self) -> Tensor:
        """The bias of every pair of places."""
        return self.table[:, self.index]


class RelativeBias1d(RelativeBias):
    """``length`` places in a row: (heads, length, length)."""

    def __init__(self, heads: int, length: int) -> None:
        super().__init__(heads, 2 * length - 1, _offsets(length))


class RelativeBias2d(RelativeBias):
    """``height`` x ``width`` places in row-major order: (heads, height * width, height * width)."""

    def __init__(self, heads: int, height: int, width: int) -> None:
        rows = _offsets(height)[:, None, :, None] * (2 * width - 1)
        columns = _offsets(width)[None, :, None, :]
        index = (rows + columns).reshape(height * width, height * width)
        super().__init__(heads, (2 * height - 1) * (2 * width - 1), index)
