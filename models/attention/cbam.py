"""Convolutional block attention (Woo, Park, Lee, Kweon, 2018: "CBAM: Convolutional Block Attention Module").

For F (N, C, H, W), equations 1 to 3::

    Mc(F) = sigmoid(MLP(AvgPool(F)) + MLP(MaxPool(F)))        (N, C, 1, 1); one MLP, C -> C/r -> C with a ReLU, for both
    Ms(F) = sigmoid(conv7x7([mean over C; max over C]))       (N, 1, H, W)
    F' = Mc(F) * F;  F'' = Ms(F') * F'                        channel first

Section 4.1 compares this order with the two others that ``order`` offers: ``spatial_first``, and ``parallel``, where
both maps are taken from F and both multiply it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ORDERS = ("channel_first", "spatial_first", "parallel")


class ChannelGate(nn.Module):
    """Mc: (N, C, H, W) -> (N, C, 1, 1) in (0, 1). ``reduction`` is r. Raises ValueError where r does not divide C."""

    map_kind = "gate"

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        if reduction < 1 or channels % reduction:
            raise ValueError(f"reduction {reduction} does not divide {channels} channels")
        hidden = channels // reduction
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        """The channel map of ``x``."""
        logits: Tensor = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return logits.sigmoid()[:, :, None, None]

    def attention_map(self, x: Tensor) -> Tensor:
        """The channel map, which is all that a gate gives."""
        return self.forward(x)


class SpatialGate(nn.Module):
    """Ms: (N, C, H, W) -> (N, 1, H, W) in (0, 1). Raises ValueError for an even kernel size."""

    map_kind = "gate"

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel size {kernel_size} is not odd")
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The spatial map of ``x``."""
        pooled = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), dim=1)
        logits: Tensor = self.conv(pooled)
        return logits.sigmoid()

    def attention_map(self, x: Tensor) -> Tensor:
        """The spatial map, which is all that a gate gives."""
        return self.forward(x)


class CBAM(nn.Module):
    """(N, C, H, W) -> (N, C, H, W): both gates in ``order``. Raises ValueError for an unknown order."""

    def __init__(
        self, channels: int, *, reduction: int = 16, kernel_size: int = 7, order: str = "channel_first"
    ) -> None:
        super().__init__()
        if order not in ORDERS:
            raise ValueError(f"order {order!r} is not one of {', '.join(ORDERS)}")
        self.channel = ChannelGate(channels, reduction)
        self.spatial = SpatialGate(kernel_size)
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with its channels and places weighed."""
        if self.order == "parallel":
            parallel: Tensor = x * self.channel(x) * self.spatial(x)
            return parallel
        for gate in (self.channel, self.spatial) if self.order == "channel_first" else (self.spatial, self.channel):
            x = x * gate(x)
        return x
