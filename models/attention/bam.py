"""Bottleneck attention (Park, Woo, Lee, Kweon, 2018: "BAM: Bottleneck Attention Module", arXiv:1807.06514).

For F (N, C, H, W), section 3::

    Mc(F) = BN(MLP(AvgPool(F)))                                       (N, C, 1, 1)    C -> C/r -> C
    Ms(F) = BN(conv1x1(conv3x3(conv3x3(conv1x1(F)))))                 (N, 1, H, W)    C -> C/r -> C/r -> C/r -> 1
    F' = F + sigmoid(Mc(F) + Ms(F)) * F  =  (1 + sigmoid(Mc(F) + Ms(F))) * F

The two 3x3 convolutions have the dilation d; r = 16 and d = 4. The equations leave the non-linearities out: a ReLU
follows every layer of either branch but its last.

The authors' published code differs, and ``form="authors"`` follows it: the batch normalisations stand before those
ReLUs instead of at the branches' ends, and the branches are multiplied, 1 + sigmoid(Mc(F) * Ms(F)).
"""

from __future__ import annotations

from torch import Tensor, nn

FORMS = ("paper", "authors")


def _hidden(layer: nn.Module, norm: nn.Module, form: str) -> list[nn.Module]:
    return [layer, norm, nn.ReLU()] if form == "authors" else [layer, nn.ReLU()]


class ChannelBranch(nn.Module):
    """Mc: (N, C, H, W) -> (N, C, 1, 1), before the sigmoid."""

    def __init__(self, channels: int, hidden: int, form: str) -> None:
        super().__init__()
        last = nn.BatchNorm1d(channels) if form == "paper" else nn.Identity()
        self.mlp = nn.Sequential(
            *_hidden(nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), form),
            nn.Linear(hidden, channels),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        """The channels' logits."""
        logits: Tensor = self.mlp(x.mean((2, 3)))
        return logits[:, :, None, None]


class SpatialBranch(nn.Module):
    """Ms: (N, C, H, W) -> (N, 1, H, W), before the sigmoid."""

    def __init__(self, channels: int, hidden: int, dilation: int, form: str) -> None:
        super().__init__()

        def dilated() -> list[nn.Module]:
            conv = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)
            return _hidden(conv, nn.BatchNorm2d(hidden), form)

        self.convs = nn.Sequential(
            *_hidden(nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), form),
            *dilated(),
            *dilated(),
            nn.Conv2d(hidden, 1, 1),
            nn.BatchNorm2d(1) if form == "paper" else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The places' logits."""
        logits: Tensor = self.convs(x)
        return logits


class BAM(nn.Module):
    """(N, C, H, W) -> (N, C, H, W).

    ``reduction`` is r and ``dilation`` is d. Raises ValueError where r does not divide C, for a dilation below 1 and an
    unknown ``form``.
    """

    map_kind = "gate"

    def __init__(self, channels: int, *, reduction: int = 16, dilation: int = 4, form: str = "paper") -> None:
        super().__init__()
        if reduction < 1 or channels % reduction:
            raise ValueError(f"reduction {reduction} does not divide {channels} channels")
        if dilation < 1:
            raise ValueError(f"dilation {dilation} is not positive")
        if form not in FORMS:
            raise ValueError(f"form {form!r} is not one of {', '.join(FORMS)}")
        self.channel = ChannelBranch(channels, channels // reduction, form)
        self.spatial = SpatialBranch(channels, channels // reduction, dilation, form)
        self.form = form

    def attention_map(self, x: Tensor) -> Tensor:
        """What ``x`` is multiplied by: (N, C, H, W), from 1 to 2."""
        channel, spatial = self.channel(x), self.spatial(x)
        logits: Tensor = channel + spatial if self.form == "paper" else channel * spatial
        return 1 + logits.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with its channels and places weighed, from once to twice."""
        return x * self.attention_map(x)
