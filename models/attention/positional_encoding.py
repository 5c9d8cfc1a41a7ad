"""What tells tokens (N, L, C) their places: encodings that are added to them, and the class token before them.

``SinusoidalEncoding`` (Vaswani et al., 2017: "Attention Is All You Need", section 3.5)::

    PE(p, 2i) = sin(p / 10000^(2i / C));   PE(p, 2i + 1) = cos(p / 10000^(2i / C))

``LearnedEncoding1d`` is a free vector per place, ``LearnedEncoding2d`` half a vector per row and half a vector per
column, concatenated, for tokens of an image in row-major order (Dosovitskiy et al., 2021: "An Image is Worth 16x16
Words", section 3.1 and appendix D.4). ``ClassToken`` is that paper's, after BERT.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def sinusoid(length: int, channels: int) -> Tensor:
    """PE (length, channels) in FP64. Raises ValueError for an odd number of channels."""
    if channels % 2:
        raise ValueError(f"{channels} channels are odd: sine and cosine take one each")
    rates = 10000.0 ** (-torch.arange(0, channels, 2, dtype=torch.float64) / channels)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * rates
    return torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)


class SinusoidalEncoding(nn.Module):
    """(N, L, channels) -> the same, L at most ``length``: the sinusoid is added. Raises ValueError for odd channels.

    The table is computed in FP64 and rounded once to the module's dtype, whatever dtypes the module had before.
    """

    table: Tensor

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoid(length, channels).to(torch.get_default_dtype()), persistent=False)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> SinusoidalEncoding:
        nn.Module._apply(self, fn, recurse)
        self.table.copy_(sinusoid(*self.table.shape))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with its places."""
        return x + self.table[: x.shape[1]]


class LearnedEncoding1d(nn.Module):
    """(N, L, channels) -> the same, L at most ``length``: a learned vector per place is added."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(length, channels) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with its places."""
        return x + self.table[: x.shape[1]]


class LearnedEncoding2d(nn.Module):
    """(N, height * width, channels) -> the same: the column's vector over the row's is added.

    Raises ValueError for an odd number of channels.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(f"{channels} channels are odd: row and column take half each")
        self.columns = nn.Parameter(torch.randn(width, channels // 2) * 0.02)
        self.rows = nn.Parameter(torch.randn(height, channels // 2) * 0.02)

    def table(self) -> Tensor:
        """(height * width, channels)."""
        height, width = self.rows.shape[0], self.columns.shape[0]
        columns = self.columns[None, :, :].expand(height, -1, -1)
        rows = self.rows[:, None, :].expand(-1, width, -1)
        return torch.cat((columns, rows), dim=2).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with its places."""
        return x + self.table()


class ClassToken(nn.Module):
    """(N, L, channels) -> (N, L + 1, channels): one learned token before the others, to be read by a classifier."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` behind the token."""
        return torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1)
