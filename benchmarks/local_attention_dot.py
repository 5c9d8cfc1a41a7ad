"""Layers of the benchmark whose weights are a dot product of a query with its window, in the spellings that people use."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LocalLayer(nn.Module):
    """(N, C, H, W) -> (N, C, H', W'), projections included."""

    def taps(self, height: int, width: int) -> int:
        """Multiply-adds beyond the projections, per image of ``height`` x ``width`` outputs: what the window costs in any spelling."""
        raise NotImplementedError


class StandAlone(LocalLayer):
    """Stand-alone self-attention (Ramachandran 2019), F.unfold and products that are summed: softmax over ``q . (k + r)``.

    r is a row over a column embedding, half the head's width each. Zeros outside the image enter the softmax. With a stride the
    query is strided, with a dilation the window.
    """

    def __init__(self, channels: int, kernel: int, *, heads: int = 8, dilation: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.heads, self.width, self.kernel = heads, channels // heads, kernel
        self.window = {"dilation": dilation, "padding": dilation * (kernel // 2), "stride": stride}
        self.query = nn.Conv2d(channels, channels, 1, stride=stride, bias=False)
        self.key = nn.Conv2d(channels, channels, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.rows = nn.Parameter(torch.randn(heads, self.width // 2, kernel, 1))
        self.columns = nn.Parameter(torch.randn(heads, self.width // 2, 1, kernel))

    def taps(self, height: int, width: int) -> int:
        """A product with the keys and one with the values."""
        return 2 * self.kernel**2 * self.heads * self.width * height * width

    def relative(self) -> Tensor:
        """r (heads, width, kernel * kernel)."""
        size = (-1, -1, self.kernel, self.kernel)
        return torch.cat((self.rows.expand(size), self.columns.expand(size)), 1).flatten(2)

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, heads, width, kernel * kernel, queries)."""
        unfolded: Tensor = F.unfold(x, self.kernel, **self.window)
        return unfolded.view(x.shape[0], self.heads, self.width, self.kernel**2, -1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the window around each query."""
        image = self.query(x)
        query = image.view(x.shape[0], self.heads, self.width, 1, -1)
        key = self.windows(self.key(x)) + self.relative().unsqueeze(-1)
        weights = (query * key).sum(2, keepdim=True).softmax(3)
        attended: Tensor = (weights * self.windows(self.value(x))).sum(3)
        return attended.view(image.shape)


class StandAloneEinsum(StandAlone):
    """The same attention by Tensor.unfold twice and einsum, with a 6-D window."""

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, heads, width, H, W, kernel * kernel)."""
        padded = F.pad(x, [self.kernel // 2] * 4)
        unfolded = padded.unfold(2, self.kernel, 1).unfold(3, self.kernel, 1)
        return unfolded.reshape(x.shape[0], self.heads, self.width, *x.shape[2:], self.kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the window around each pixel."""
        query = self.query(x).unflatten(1, (self.heads, self.width))
        key, value = self.windows(self.key(x)), self.windows(self.value(x))
        scores = torch.einsum("nhcyx,nhcyxt->nhyxt", query, key)
        scores = scores + torch.einsum("nhcyx,hct->nhyxt", query, self.relative())
        return torch.einsum("nhyxt,nhcyxt->nhcyx", scores.softmax(-1), value).flatten(1, 2)


class StandAloneShifted(StandAlone):
    """The same attention with the window as a stack of shifted slices."""

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, heads, width, kernel * kernel, H, W)."""
        height, width = x.shape[2:]
        padded = F.pad(x, [self.kernel // 2] * 4)
        places = [(i, j) for i in range(self.kernel) for j in range(self.kernel)]
        shifted = torch.stack([padded[:, :, i : i + height, j : j + width] for i, j in places], 2)
        split: Tensor = shifted.unflatten(1, (self.heads, self.width))
        return split

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the window around each pixel."""
        query = self.query(x).unflatten(1, (self.heads, self.width)).unsqueeze(3)
        key = self.windows(self.key(x)) + self.relative()[..., None, None]
        weights = (query * key).sum(2).softmax(2)
        attended: Tensor = (weights.unsqueeze(2) * self.windows(self.value(x))).sum(3)
        return attended.flatten(1, 2)


class Neighbourhood(LocalLayer):
    """Scaled neighbourhood attention, channels last: one qkv projection, a bias per head and offset, places outside masked out.

    The spelling of a transformer block on windows: ``q @ k^T`` with one query a row, as in the windowed blocks after Swin
    (Liu 2021) with the window centred on every pixel (Hassani 2023, without moving it at the border).
    """

    def __init__(self, channels: int, kernel: int, *, heads: int = 8, dilation: int = 1) -> None:
        super().__init__()
        self.heads, self.width, self.kernel = heads, channels // heads, kernel
        self.window = {"kernel_size": kernel, "dilation": dilation, "padding": dilation * (kernel // 2)}
        self.scale = self.width**-0.5
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.bias = nn.Parameter(torch.randn(heads, 1, 1, kernel**2))

    def taps(self, height: int, width: int) -> int:
        """A product with the keys and one with the values."""
        return 2 * self.kernel**2 * self.heads * self.width * height * width

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, heads, H * W, kernel * kernel, width)."""
        unfolded: Tensor = F.unfold(x, **self.window)
        return unfolded.view(x.shape[0], self.heads, self.width, self.kernel**2, -1).permute(0, 1, 4, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the part of the window that lies in the image."""
        query, key, value = self.qkv(x).chunk(3, 1)
        query = query.reshape(x.shape[0], self.heads, self.width, 1, -1).permute(0, 1, 4, 3, 2)
        scores = self.scale * (query @ self.windows(key).transpose(-2, -1)) + self.bias
        inside = F.unfold(torch.ones_like(x[:1, :1]), **self.window).transpose(1, 2).unsqueeze(2)
        weights = scores.masked_fill(inside == 0, float("-inf")).softmax(-1)
        attended = (weights @ self.windows(value)).squeeze(3).transpose(2, 3)
        projected: Tensor = self.out(attended.reshape(x.shape))
        return projected
