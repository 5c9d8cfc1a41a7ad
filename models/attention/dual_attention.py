"""Position and channel attention (Fu et al., 2019: "Dual Attention Network for Scene Segmentation", arXiv:1809.02983).

For A (N, C, H, W) with places i, j and channels c, d. Position attention, section 3.2, equations 1 and 2, with B and C'
1x1 convolutions of A to C/8 channels and D one to C channels::

    S_ij = softmax over j of (B_i . C'_j);    E_i = alpha * sum over j of S_ij D_j + A_i

Channel attention, section 3.3, equations 3 and 4, on A itself::

    X_cd = softmax over d of energy_cd;    E_c = beta * sum over d of X_cd A_d + A_c

The paper's energy is A_c . A_d (``energy="product"``). The authors' code, and what people have copied from it, takes
the row's maximum minus that (``"contrast"``), so that a channel attends to those least like it. alpha and beta
start at zero, or at one with ``zero_init=False``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ENERGIES = ("contrast", "product")


class PositionAttention(nn.Module):
    """(N, channels, H, W) -> the same. Raises ValueError where ``reduction`` does not divide ``channels``."""

    map_kind = "tokens"

    def __init__(self, channels: int, *, reduction: int = 8, zero_init: bool = True) -> None:
        super().__init__()
        if reduction < 1 or channels % reduction:
            raise ValueError(f"reduction {reduction} does not divide {channels} channels")
        self.query = nn.Conv2d(channels, channels // reduction, 1)
        self.key = nn.Conv2d(channels, channels // reduction, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.alpha = nn.Parameter(torch.zeros(1) if zero_init else torch.ones(1))

    def weights(self, x: Tensor) -> Tensor:
        """S: (N, H*W, H*W), rows that sum to 1."""
        scores: Tensor = self.query(x).flatten(2).transpose(1, 2) @ self.key(x).flatten(2)
        return scores.softmax(2)

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights, (N, H*W, H*W), places in row-major order."""
        return self.weights(x)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` and what its places take from each other."""
        attended = self.value(x).flatten(2) @ self.weights(x).transpose(1, 2)
        joined: Tensor = self.alpha * attended.unflatten(2, x.shape[2:]) + x
        return joined


class ChannelAttention(nn.Module):
    """(N, C, H, W) -> the same, for any C. Raises ValueError for an unknown ``energy``."""

    map_kind = "channels"

    def __init__(self, *, energy: str = "contrast", zero_init: bool = True) -> None:
        super().__init__()
        if energy not in ENERGIES:
            raise ValueError(f"energy {energy!r} is not one of {', '.join(ENERGIES)}")
        self.energy = energy
        self.beta = nn.Parameter(torch.zeros(1) if zero_init else torch.ones(1))

    def weights(self, x: Tensor) -> Tensor:
        """X: (N, C, C), rows that sum to 1."""
        channels = x.flatten(2)
        energy = channels @ channels.transpose(1, 2)
        if self.energy == "contrast":
            energy = energy.amax(2, keepdim=True) - energy
        return energy.softmax(2)

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights, (N, C, C)."""
        return self.weights(x)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` and what its channels take from each other."""
        attended = self.weights(x) @ x.flatten(2)
        joined: Tensor = self.beta * attended.unflatten(2, x.shape[2:]) + x
        return joined
