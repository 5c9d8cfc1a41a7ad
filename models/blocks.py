"""Residual blocks (He et al., 2016: "Deep Residual Learning for Image Recognition") with a place for attention."""

from __future__ import annotations

from torch import Tensor, nn


def conv_bn(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (up to ``stride``), and its batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def shortcut(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    """The identity where the shape stays, else a 1x1 convolution."""
    if in_channels == out_channels and stride == 1:
        return nn.Identity()
    return conv_bn(in_channels, out_channels, 1, stride)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; ``gate`` weighs what is added to the shortcut.

    (N, C, H, W) -> (N, C', H/stride, W/stride).
    """

    def __init__(self, in_channels: int, out_channels: int, gate: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv_bn(in_channels, out_channels, 3, stride)
        self.conv2 = conv_bn(out_channels, out_channels, 3)
        self.gate = gate
        self.shortcut = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        branch: Tensor = self.gate(self.conv2(self.conv1(x).relu()))
        joined: Tensor = branch + self.shortcut(x)
        return joined.relu()


class NormedBottleneck(nn.Module):
    """1x1 convolution, ``mixer`` where ResNet has its 3x3 convolution, 1x1 convolution.

    ``mixer`` maps (N, width, H, W) to itself. (N, C, H, W) -> (N, C', H, W).
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, mixer: nn.Module) -> None:
        super().__init__()
        self.reduce = conv_bn(in_channels, width, 1)
        self.mixer = mixer
        self.norm = nn.BatchNorm2d(width)
        self.expand = conv_bn(width, out_channels, 1)
        self.shortcut = shortcut(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        branch: Tensor = self.expand(self.norm(self.mixer(self.reduce(x).relu())).relu())
        joined: Tensor = branch + self.shortcut(x)
        return joined.relu()
