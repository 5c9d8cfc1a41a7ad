"""Contextual transformer block (Li, Yao, Pan, Mei, 2021: "Contextual Transformer Networks for Visual Recognition").

Keys are the input itself, put into the context of their neighbours by a k x k convolution; queries are the input, too.
Section 3.2, figure 2b, equations 4 and 5, with the constants of the authors' code::

    K1 = relu(bn(conv_kxk(x)))                     static context, four groups
    A  = W_theta(relu(bn(W_delta([x, K1]))))       k*k weights for every pixel and group of channels, no softmax
    K2 = swish(bn(A (*) bn(W_v x)))                dynamic context: (*) sums the k x k window of values by A
    y  = a K2 + (1 - a) K1                         a, for each channel, from the mean of K1 + K2 over the image

``share`` channels use the same weights, channels c, c + C/share, c + 2 C/share, ... as in the authors' code, and the
weights of each such group are normalised together. Outside the image values are zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ContextualTransformer(nn.Module):
    """(N, C, H, W) -> (N, C, H, W). Parameters are named as in the authors' code.

    ``kernel_size`` is k, odd. ``groups`` (of the static convolution), ``share`` and ``reduction`` (of the layer
    between the two 1x1 convolutions) each divide ``channels``. Raises ValueError otherwise.
    """

    map_kind = "window"

    def __init__(
        self, channels: int, *, kernel_size: int = 3, groups: int = 4, share: int = 8, reduction: int = 2
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel size {kernel_size} is not odd")
        for name, number in (("groups", groups), ("share", share), ("reduction", reduction)):
            if number < 1 or channels % number:
                raise ValueError(f"{name} {number} does not divide {channels} channels")
        self.kernel_size = kernel_size
        self.share = share
        hidden, fused = channels // reduction, max(channels // 2, 32)
        weights = channels // share
        self.key_embed = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )
        self.embed = nn.Sequential(
            nn.Conv2d(2 * channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, kernel_size**2 * weights, 1),
            nn.GroupNorm(weights, kernel_size**2 * weights),
        )
        self.conv1x1 = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.bn = nn.BatchNorm2d(channels)
        self.se = nn.Sequential(
            nn.Conv2d(channels, fused, 1),
            nn.BatchNorm2d(fused),
            nn.ReLU(),
            nn.Conv2d(fused, 2 * channels, 1),
        )

    def aggregate(self, values: Tensor, weights: Tensor) -> Tensor:
        """(*): values (N, C, H, W), weights (N, k*k * C/share, H, W) -> (N, C, H, W)."""
        taps = self.kernel_size**2
        unfolded = F.unfold(values, self.kernel_size, padding=self.kernel_size // 2)
        windows = unfolded.unflatten(1, (self.share, -1, taps))
        summed = (weights.flatten(2).unflatten(1, (1, -1, taps)) * windows).sum(3)
        image: Tensor = summed.flatten(1, 2).unflatten(2, values.shape[-2:])
        return image

    def attention_map(self, x: Tensor) -> Tensor:
        """A: (N, C/share, k*k, H, W), any real numbers."""
        weights: Tensor = self.embed(torch.cat((x, self.key_embed(x)), dim=1)).unflatten(1, (-1, self.kernel_size**2))
        return weights

    def forward(self, x: Tensor) -> Tensor:
        """``x`` in its static and dynamic context."""
        static = self.key_embed(x)
        weights = self.embed(torch.cat((x, static), dim=1))
        dynamic = F.silu(self.bn(self.aggregate(self.conv1x1(x), weights)))
        shares = self.se((dynamic + static).mean((2, 3), keepdim=True)).unflatten(1, (-1, 2)).softmax(2)
        fused: Tensor = dynamic * shares[:, :, 0] + static * shares[:, :, 1]
        return fused
