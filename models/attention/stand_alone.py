"""Stand-alone self-attention (Ramachandran et al., 2019: "Stand-Alone Self-Attention in Vision Models").

For every pixel ij and head, over the k x k window around it, section 3.1, equation 3::

    y_ij = sum over ab of softmax_ab(q_ij . k_ab + q_ij . r_(a-i, b-j)) v_ab
    q = W_Q x;  k = W_K x;  v = W_V x

r is the concatenation of a row embedding r_(a-i) and a column embedding r_(b-j), each of half the head's width. The
channels are split into heads first: each head has its own projections of its own share of the channels
(``projection="per_head"``, the paper's); with ``"full"``, as in widespread code, every head sees all channels. There
is no scale 1/sqrt(d). Outside the image keys and values are zero, and those places still take their share of the
softmax (their logit is q . r).

:class:`AttentionConv` is what widespread code makes of it: the products q k are not summed over a head's channels, so
that every channel takes a softmax of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PROJECTIONS = ("per_head", "full")


class StandAloneAttention(nn.Module):
    """(N, in_channels, H, W) -> (N, out_channels, H, W).

    ``kernel_size`` is k, odd. ``heads`` divides both channel counts, and leaves an even width per head for the two
    embeddings. Raises ValueError otherwise, and for an unknown ``projection``.
    """

    map_kind = "window"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 7,
        heads: int = 8,
        projection: str = "per_head",
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel size {kernel_size} is not odd")
        if heads < 1 or in_channels % heads or out_channels % (2 * heads):
            raise ValueError(
                f"{heads} heads do not divide {in_channels} input channels, "
                f"or not {out_channels} output channels into even widths"
            )
        if projection not in PROJECTIONS:
            raise ValueError(f"projection {projection!r} is not one of {', '.join(PROJECTIONS)}")
        self.kernel_size = kernel_size
        self.heads = heads
        self.width = out_channels // heads
        groups = heads if projection == "per_head" else 1
        self.query = nn.Conv2d(in_channels, out_channels, 1, groups=groups, bias=False)
        self.key = nn.Conv2d(in_channels, out_channels, 1, groups=groups, bias=False)
        self.value = nn.Conv2d(in_channels, out_channels, 1, groups=groups, bias=False)
        std = self.width**-0.5
        self.rows = nn.Parameter(torch.randn(heads, self.width // 2, kernel_size) * std)
        self.columns = nn.Parameter(torch.randn(heads, self.width // 2, kernel_size) * std)

    def embedding(self) -> Tensor:
        """r (heads, width, k*k): the row embedding over the column embedding, window places in row-major order."""
        k = self.kernel_size
        rows = self.rows[:, :, :, None].expand(-1, -1, k, k)
        columns = self.columns[:, :, None, :].expand(-1, -1, k, k)
        return torch.cat((rows, columns), dim=1).flatten(2)

    def windows(self, x: Tensor) -> Tensor:
        """The k x k window around every pixel: (N, heads * width, H, W) -> (N, heads, width, k*k, H*W)."""
        unfolded = F.unfold(x, self.kernel_size, padding=self.kernel_size // 2)
        windows: Tensor = unfolded.unflatten(1, (self.heads, self.width, self.kernel_size**2))
        return windows

    def weights(self, x: Tensor) -> Tensor:
        """What each pixel takes from each of its window: (N, heads, k*k, H*W), sums of 1 over the window."""
        query = self.query(x).flatten(2).unflatten(1, (self.heads, self.width))
        content = (query.unsqueeze(3) * self.windows(self.key(x))).sum(2)
        position = self.embedding().transpose(1, 2) @ query
        scores: Tensor = content + position
        return scores.softmax(2)

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights, (N, heads, k*k, H, W)."""
        weights: Tensor = self.weights(x).unflatten(3, x.shape[-2:])
        return weights

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the window around each pixel of ``x``."""
        attended = (self.weights(x).unsqueeze(2) * self.windows(self.value(x))).sum(3)
        image: Tensor = attended.flatten(1, 2).unflatten(2, x.shape[-2:])
        return image


class AttentionConv(nn.Module):
    """The per-channel form: (N, in_channels, H, W) -> (N, out_channels, H, W), channel by channel c::

        y_ij = sum over ab of softmax_ab(q_ij (k_ab + r_(a-i, b-j))) v_ab

    r is a row embedding in the first half of the channels, a column embedding in the second. There are no heads, since
    no channel meets another. ``kernel_size`` is k, odd; ``out_channels`` is even; with ``bias`` a place outside the
    image has the bias as key and value. Raises ValueError otherwise. Parameters are named as they are in that code.
    """

    map_kind = "window"

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int = 7, bias: bool = False) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel size {kernel_size} is not odd")
        if out_channels % 2:
            raise ValueError(f"{out_channels} output channels do not make two halves")
        self.kernel_size = kernel_size
        half = out_channels // 2
        self.rel_h = nn.Parameter(torch.randn(half, 1, 1, kernel_size, 1))
        self.rel_w = nn.Parameter(torch.randn(half, 1, 1, 1, kernel_size))
        self.key_conv = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
        self.query_conv = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
        self.value_conv = nn.Conv2d(in_channels, out_channels, 1, bias=bias)

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, H + k - 1, W + k - 1) -> (N, C, H, W, k, k)."""
        return x.unfold(2, self.kernel_size, 1).unfold(3, self.kernel_size, 1)

    def weights(self, x: Tensor) -> Tensor:
        """What each pixel takes from each of its window, in each channel: (N, out_channels, H, W, k*k)."""
        padded = F.pad(x, [self.kernel_size // 2] * 4)
        rows, columns = self.windows(self.key_conv(padded)).chunk(2, dim=1)
        keys = torch.cat((rows + self.rel_h, columns + self.rel_w), dim=1).flatten(4)
        scores: Tensor = self.query_conv(x).unsqueeze(4) * keys
        return scores.softmax(4)

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights, (N, out_channels, k*k, H, W): every channel is a head of its own."""
        return self.weights(x).movedim(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the window around each pixel of ``x``, in each channel alone."""
        padded = F.pad(x, [self.kernel_size // 2] * 4)
        values = self.windows(self.value_conv(padded)).flatten(4)
        attended: Tensor = (self.weights(x) * values).sum(4)
        return attended
