"""Attention stem (Ramachandran et al., 2019: "Stand-Alone Self-Attention in Vision Models", section 3.2.2, appendix A).

An image is cut into b x b blocks, and every pixel ij attends to the pixels ab of its own block. Values are mixtures that
vary with the place in the block, so that edges can be found where pixels alone say little::

    y_ij = sum over ab of softmax_ab(q_ij . k_ab) v_ab
    v_ab = (sum over m of p(a, b, m) W_m) x_ab
    p(a, b, m) = softmax over m of (row_a + column_b) . nu_m

row and column are embeddings of the place, nu one of the mixture; p is shared by all heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class AttentionStem(nn.Module):
    """(N, in_channels, H, W) -> (N, out_channels, H, W); H and W are multiples of ``block``.

    ``heads`` divides ``out_channels``, and embeddings are as wide as a head. Raises ValueError otherwise.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, block: int = 4, heads: int = 4, mixtures: int = 4
    ) -> None:
        super().__init__()
        if heads < 1 or out_channels % heads:
            raise ValueError(f"{heads} heads do not divide {out_channels} output channels")
        if block < 1 or mixtures < 1:
            raise ValueError(f"{mixtures} mixtures over blocks of {block} pixels leave nothing to mix")
        self.block = block
        self.heads = heads
        self.mixtures = mixtures
        width = out_channels // heads
        self.query = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.key = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.value = nn.Conv2d(in_channels, mixtures * out_channels, 1, bias=False)
        self.rows = nn.Parameter(torch.randn(block, width) * width**-0.5)
        self.columns = nn.Parameter(torch.randn(block, width) * width**-0.5)
        self.mixture = nn.Parameter(torch.randn(mixtures, width))

    def shares(self) -> Tensor:
        """p (mixtures, b * b): how much of each mixture's value every place of a block takes."""
        places = (self.rows[:, None] + self.columns).flatten(0, 1)
        return (self.mixture @ places.T).softmax(0)

    def blocks(self, x: Tensor, heads: int) -> Tensor:
        """(N, heads * width, H, W) -> (N, heads, H / b, W / b, b * b, width)."""
        b = self.block
        cut: Tensor = x.unflatten(3, (-1, b)).unflatten(2, (-1, b)).unflatten(1, (heads, -1))
        return cut.permute(0, 1, 3, 5, 4, 6, 2).flatten(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the block of each pixel of ``x``."""
        query, key = self.blocks(self.query(x), self.heads), self.blocks(self.key(x), self.heads)
        values = self.blocks(self.value(x), self.mixtures * self.heads).unflatten(1, (self.mixtures, self.heads))
        value = (values * self.shares()[:, None, None, None, :, None]).sum(1)
        attended = (query @ key.transpose(4, 5)).softmax(5) @ value
        pixels = attended.unflatten(4, (self.block, self.block)).permute(0, 1, 6, 2, 4, 3, 5)
        image: Tensor = pixels.flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return image
