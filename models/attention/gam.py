"""Global attention (Liu, Shao, Hoffmann, 2021: "Global Attention Mechanism: Retain Information to Enhance
Channel-Spatial Interactions", arXiv:2112.05561).

For F1 (N, C, H, W), section 3, equations 1 and 2, nothing pooled::

    F2 = Mc(F1) * F1      Mc = sigmoid(MLP over the channels of every place), C -> C/r -> C with a ReLU
    F3 = Ms(F2) * F2      Ms = sigmoid(BN(conv7x7(ReLU(BN(conv7x7(F2)))))), C -> C/r -> C

The MLP works on the permuted map (N, H*W, C). r is 16, as in BAM. For ResNet-50 the paper groups both convolutions and
shuffles channels after ShuffleNet, where the shuffle stands between two grouped convolutions (``shuffle="between"``);
widespread code shuffles the finished map instead (``"after"``), so that a channel is weighed by another one's map.

``variant="notes"`` is the code of a widespread tutorial: no sigmoid on Mc, so that its values are any real numbers, and
the convolutions repeat the border instead of padding with zeros. It has r = 4.
"""

from __future__ import annotations

from torch import Tensor, nn

VARIANTS = ("paper", "notes")
SHUFFLES = ("between", "after")


class ChannelShuffle(nn.Module):
    """(N, C, H, W) -> (N, C, H, W): channels g * (C/G) + i become i * G + g (Zhang et al., 2018: "ShuffleNet")."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with the channels of the groups taken in turn."""
        turns: Tensor = x.unflatten(1, (self.groups, -1)).transpose(1, 2)
        return turns.flatten(1, 2)


class GAM(nn.Module):
    """(N, C, H, W) -> (N, C, H, W).

    ``reduction`` is r; ``groups`` divides C and C/r, and 1 means no grouping and no shuffle. Raises ValueError where
    a number does not divide, for an even kernel size, and for an unknown ``shuffle`` or ``variant``.
    """

    map_kind = "gate"

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        kernel_size: int = 7,
        groups: int = 1,
        shuffle: str = "between",
        variant: str = "paper",
    ) -> None:
        super().__init__()
        if reduction < 1 or channels % reduction:
            raise ValueError(f"reduction {reduction} does not divide {channels} channels")
        hidden = channels // reduction
        if groups < 1 or hidden % groups:
            raise ValueError(f"{groups} groups do not divide {hidden} hidden channels")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel size {kernel_size} is not odd")
        if shuffle not in SHUFFLES:
            raise ValueError(f"shuffle {shuffle!r} is not one of {', '.join(SHUFFLES)}")
        if variant not in VARIANTS:
            raise ValueError(f"variant {variant!r} is not one of {', '.join(VARIANTS)}")

        def conv(in_channels: int, out_channels: int) -> nn.Module:
            return nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                padding=kernel_size // 2,
                groups=groups,
                padding_mode="replicate" if variant == "notes" else "zeros",
            )

        def shuffled(place: str) -> nn.Module:
            return ChannelShuffle(groups) if groups > 1 and shuffle == place else nn.Identity()

        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.convs = nn.Sequential(
            conv(channels, hidden), nn.BatchNorm2d(hidden), nn.ReLU(), shuffled("between"),
            conv(hidden, channels), nn.BatchNorm2d(channels), shuffled("after"),
        )  # fmt: skip
        self.variant = variant

    def channel(self, x: Tensor) -> Tensor:
        """Mc: the channel map of ``x``, (N, C, H, W)."""
        logits: Tensor = self.mlp(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[-2:])
        return logits if self.variant == "notes" else logits.sigmoid()

    def spatial(self, x: Tensor) -> Tensor:
        """Ms: the spatial map of ``x``, (N, C, H, W) in (0, 1)."""
        logits: Tensor = self.convs(x)
        return logits.sigmoid()

    def attention_map(self, x: Tensor) -> Tensor:
        """What ``x`` is multiplied by, both maps in one: (N, C, H, W)."""
        channel = self.channel(x)
        return channel * self.spatial(x * channel)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with every value weighed, by its channels first and by its neighbourhood second."""
        x = x * self.channel(x)
        return x * self.spatial(x)
