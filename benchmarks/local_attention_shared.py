"""Layers of the benchmark whose weights are no dot product: per channel, shared by channels, or predicted from the pixel alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnexport.benchmarks.local_attention_dot import LocalLayer


class PerChannel(LocalLayer):
    """Attention with a softmax per CHANNEL, the widespread re-implementation of stand-alone self-attention.

    Tensor.unfold twice; the row embedding is added to the first half of the key's channels, the column embedding to the second;
    the einsum sums over the window only.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.channels, self.kernel = channels, kernel
        self.query = nn.Conv2d(channels, channels, 1, bias=False)
        self.key = nn.Conv2d(channels, channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.rows = nn.Parameter(torch.randn(channels // 2, 1, 1, kernel, 1))
        self.columns = nn.Parameter(torch.randn(channels // 2, 1, 1, 1, kernel))

    def taps(self, height: int, width: int) -> int:
        """A product with the keys and one with the values."""
        return 2 * self.kernel**2 * self.channels * height * width

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W, kernel, kernel)."""
        padded = F.pad(x, [self.kernel // 2] * 4)
        return padded.unfold(2, self.kernel, 1).unfold(3, self.kernel, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the window around each pixel, each channel by itself."""
        first, second = self.windows(self.key(x)).split(self.channels // 2, 1)
        key = torch.cat((first + self.rows, second + self.columns), 1).flatten(4)
        value = self.windows(self.value(x)).flatten(4)
        weights = (self.query(x).unsqueeze(4) * key).softmax(-1)
        return torch.einsum("ncyxt,ncyxt->ncyx", weights, value)


class LocalRelation(LocalLayer):
    """Local relation layer (Hu 2019, LR-Net): -(q - k)^2 of one scalar per ``share`` channels, a geometry prior, the input aggregated."""

    def __init__(self, channels: int, kernel: int, *, share: int = 8, stride: int = 1) -> None:
        super().__init__()
        self.channels, self.kernel, self.groups, self.stride = channels, kernel, channels // share, stride
        self.query = nn.Conv2d(channels, self.groups, 1, stride=stride)
        self.key = nn.Conv2d(channels, self.groups, 1)
        self.prior = nn.Sequential(nn.Conv2d(2, 16, 1), nn.ReLU(), nn.Conv2d(16, self.groups, 1))
        self.out = nn.Conv2d(channels, channels, 1, bias=False)
        steps = torch.arange(kernel, dtype=torch.get_default_dtype()) - kernel // 2
        self.offsets: Tensor
        self.register_buffer("offsets", torch.stack(torch.meshgrid(steps, steps, indexing="ij"))[None])

    def taps(self, height: int, width: int) -> int:
        """The differences are taken per group, the input is aggregated per channel."""
        return self.kernel**2 * (self.groups + self.channels) * height * width

    def windows(self, x: Tensor) -> Tensor:
        """(N, c, H, W) -> (N, c, kernel * kernel, queries)."""
        unfolded: Tensor = F.unfold(x, self.kernel, padding=self.kernel // 2, stride=self.stride)
        split: Tensor = unfolded.unflatten(1, (x.shape[1], -1))
        return split

    def forward(self, x: Tensor) -> Tensor:
        """Aggregate the window around each query by what composes with it."""
        image = self.query(x)
        appearance = -((image.flatten(2).unsqueeze(2) - self.windows(self.key(x))) ** 2)
        weights = (appearance + self.prior(self.offsets).flatten(2).unsqueeze(3)).softmax(2)
        shared = self.windows(x).unflatten(1, (self.groups, -1))
        aggregated = (weights.unsqueeze(2) * shared).sum(3).flatten(1, 2)
        projected: Tensor = self.out(aggregated.unflatten(2, image.shape[2:]))
        return projected


class Outlook(LocalLayer):
    """Outlook attention (Yuan 2021, VOLO): k^2 x k^2 weights predicted at each (pooled) pixel, the window mixed and folded back.

    Channels last inside, as in the authors' code.
    """

    def __init__(self, channels: int, kernel: int = 3, *, heads: int = 6, stride: int = 1) -> None:
        super().__init__()
        self.channels, self.heads, self.kernel, self.stride = channels, heads, kernel, stride
        self.scale = (channels // heads) ** -0.5
        self.v = nn.Linear(channels, channels, bias=False)
        self.attn = nn.Linear(channels, kernel**4 * heads)
        self.proj = nn.Linear(channels, channels)
        self.unfold = nn.Unfold(kernel, padding=kernel // 2, stride=stride)
        self.pool = nn.AvgPool2d(stride, stride=stride, ceil_mode=True)

    def taps(self, height: int, width: int) -> int:
        """Every place of the window is a mixture of all of it, at each (pooled) pixel."""
        return self.kernel**4 * self.channels * math.ceil(height / self.stride) * math.ceil(width / self.stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        batch, channels, height, width = x.shape
        taps, last = self.kernel**2, x.permute(0, 2, 3, 1)
        rows, columns = math.ceil(height / self.stride), math.ceil(width / self.stride)
        value = self.unfold(self.v(last).permute(0, 3, 1, 2))
        value = value.reshape(batch, self.heads, channels // self.heads, taps, rows * columns).permute(0, 1, 4, 3, 2)
        pooled = self.pool(x).permute(0, 2, 3, 1)
        weights = self.attn(pooled).reshape(batch, rows * columns, self.heads, taps, taps).permute(0, 2, 1, 3, 4)
        weights = (weights * self.scale).softmax(-1)
        mixed = (weights @ value).permute(0, 1, 4, 3, 2).reshape(batch, channels * taps, rows * columns)
        folded = F.fold(mixed, (height, width), self.kernel, padding=self.kernel // 2, stride=self.stride)
        projected: Tensor = self.proj(folded.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return projected


class Involution(LocalLayer):
    """Involution (Li 2021): kernels predicted at each pixel by a bottleneck of two 1x1 convolutions, shared by 16 channels, no softmax."""

    def __init__(self, channels: int, kernel: int = 7, *, share: int = 16, reduction: int = 4) -> None:
        super().__init__()
        self.channels, self.kernel, self.groups = channels, kernel, channels // share
        self.reduce = nn.Sequential(nn.Conv2d(channels, channels // reduction, 1), nn.ReLU())
        self.span = nn.Conv2d(channels // reduction, kernel**2 * self.groups, 1)

    def taps(self, height: int, width: int) -> int:
        """Every channel is aggregated."""
        return self.kernel**2 * self.channels * height * width

    def forward(self, x: Tensor) -> Tensor:
        """Aggregate the window around each pixel."""
        batch, channels, height, width = x.shape
        weights = self.span(self.reduce(x)).view(batch, self.groups, 1, self.kernel**2, height, width)
        windows = F.unfold(x, self.kernel, padding=self.kernel // 2)
        windows = windows.view(batch, self.groups, channels // self.groups, self.kernel**2, height, width)
        aggregated: Tensor = (weights * windows).sum(3)
        return aggregated.view(batch, channels, height, width)
