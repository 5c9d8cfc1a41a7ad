"""Triplet attention (Misra et al., 2021: "Rotate to Attend: Convolutional Triplet Attention Module", arXiv:2010.03045).

Z-pool keeps the largest and the mean value along one axis, section 3.2::

    gate(U) = sigmoid(BN(conv k x k([max over axis 1 of U; mean over axis 1 of U]))) * U,    k = 7

Each of three branches turns another axis of X (N, C, H, W) to that place, and back after its gate; each has its own
weights::

    Y = (turned back gate(X as (N, H, C, W)) + turned back gate(X as (N, W, H, C)) + gate(X)) / 3
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROTATIONS = ((0, 2, 1, 3), (0, 3, 2, 1), (0, 1, 2, 3))
"""The axes' order in each branch: H, W and C pooled away in turn. Each order turns itself back."""


class ZPoolGate(nn.Module):
    """(N, A, B, D) -> (N, A, B, D), every place of B x D weighed by a number in (0, 1).

    Raises ValueError for an even kernel size.
    """

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel size {kernel_size} is not odd")
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(1)

    def weights(self, x: Tensor) -> Tensor:
        """The weight of every place: (N, 1, B, D)."""
        pooled = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)
        logits: Tensor = self.norm(self.conv(pooled))
        return logits.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with its places weighed."""
        return x * self.weights(x)


class TripletAttention(nn.Module):
    """(N, C, H, W) -> (N, C, H, W), any C, H and W. Raises ValueError for an even kernel size."""

    map_kind = "gate"

    def __init__(self, *, kernel_size: int = 7) -> None:
        super().__init__()
        self.gates = nn.ModuleList(ZPoolGate(kernel_size) for _ in ROTATIONS)

    def attention_map(self, x: Tensor) -> Tensor:
        """What ``x`` is multiplied by, the mean of the three gates' weights: (N, C, H, W)."""
        weights: list[Tensor] = []
        for gate, axes in zip(self.gates, ROTATIONS, strict=True):
            assert isinstance(gate, ZPoolGate)
            weights.append(gate.weights(x.permute(axes)).permute(axes))
        first, second, third = weights
        mean: Tensor = (first + second + third) / 3
        return mean

    def forward(self, x: Tensor) -> Tensor:
        """The mean of the three branches."""
        first, second, third = (
            gate(x.permute(axes)).permute(axes) for gate, axes in zip(self.gates, ROTATIONS, strict=True)
        )
        mean: Tensor = (first + second + third) / 3
        return mean
