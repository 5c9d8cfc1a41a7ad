"""Four stages of bottlenecks (He et al., 2016) around something other than a 3x3 convolution, and what is before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from .blocks import conv_bn, shortcut


class MixerBottleneck(nn.Module):
    """1x1 convolution, ``mixer``, 1x1 convolution, joined with the shortcut.

    ``mixer`` maps (N, width, H, W) to (N, width, H/stride, W/stride), with whatever norm and activation it wants behind
    it. (N, C, H, W) -> (N, C', H/stride, W/stride).
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, mixer: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.reduce = conv_bn(in_channels, width, 1)
        self.mixer = mixer
        self.expand = conv_bn(width, out_channels, 1)
        self.shortcut = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        branch: Tensor = self.expand(self.mixer(self.reduce(x).relu()))
        joined: Tensor = branch + self.shortcut(x)
        return joined.relu()


def conv_stem(channels: int) -> nn.Sequential:
    """(N, 3, H, W) -> (N, channels, H/4, W/4): ResNet's 7x7 convolution and 3x3 maximum, each with stride 2."""
    return nn.Sequential(conv_bn(3, channels, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))


def bottleneck_stages(
    in_channels: int, width: int, out_channels: int, depths: Sequence[int], mixer: Callable[[int, int], nn.Module]
) -> nn.Sequential:
    """One stage for each of ``depths``, its number of blocks.

    ``width`` and ``out_channels`` are those of the first stage and double from stage to stage; all but the first halve
    height and width in their first block. ``mixer`` builds what stands in a block, from its width and stride.
    """
    stages: list[nn.Module] = []
    for depth in depths:
        blocks: list[nn.Module] = []
        for index in range(depth):
            stride = 2 if stages and index == 0 else 1
            blocks.append(MixerBottleneck(in_channels, width, out_channels, mixer(width, stride), stride))
            in_channels = out_channels
        stages.append(nn.Sequential(*blocks))
        width, out_channels = 2 * width, 2 * out_channels
    return nn.Sequential(*stages)
