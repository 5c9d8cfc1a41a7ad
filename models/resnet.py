"""ResNet-18/34/50/101 (He, Zhang, Ren, Sun, 2016: "Deep Residual Learning for Image Recognition", arXiv:1512.03385),
with slots for attention: x (N, 3, H, W) -> logits (N, classes).

A block's slot is where SE, CBAM, triplet attention and GAM put theirs: behind the last batch normalisation of the
residual branch, before the sum with the shortcut. A stage's slot, behind each of the first three stages, is where BAM
puts its own: at the bottlenecks of the network, before the map shrinks.

Layers have the names that torchvision gives them and a bottleneck's stride is in its 3x3 convolution, so that
published weights fit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from .blocks import shortcut
from .entry import RegistryEntry, images

Slot = Callable[[int], nn.Module]
"""Makes what fills a slot behind that many channels; it keeps the shape (N, C, H, W)."""


def empty(channels: int) -> nn.Module:
    """An unfilled slot."""
    return nn.Identity()


class Basic(nn.Module):
    """Two 3x3 convolutions: (N, C, H, W) -> (N, width, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, slot: Slot) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.gate = slot(width)
        self.downsample = shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        branch = self.bn1(self.conv1(x)).relu()
        branch = self.bn2(self.conv2(branch))
        joined: Tensor = self.gate(branch) + self.downsample(x)
        return joined.relu()


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution: (N, C, H, W) -> (N, 4 * width, H/stride, W/stride)."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, slot: Slot) -> None:
        super().__init__()
        out_channels = self.expansion * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.gate = slot(out_channels)
        self.downsample = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block's output."""
        branch = self.bn1(self.conv1(x)).relu()
        branch = self.bn2(self.conv2(branch)).relu()
        branch = self.bn3(self.conv3(branch))
        joined: Tensor = self.gate(branch) + self.downsample(x)
        return joined.relu()


class ResNet(nn.Module):
    """A 7x7 stem, four stages of ``depths`` blocks at 1, 2, 4 and 8 times ``width``, their mean and a linear layer.

    x (N, 3, H, W) -> logits (N, classes); the last map has 1/32 of the height and width. Raises ValueError where
    ``depths`` are not four numbers of 1 or more.
    """

    def __init__(
        self,
        block: type[Basic] | type[Bottleneck],
        depths: tuple[int, ...],
        *,
        classes: int = 1000,
        width: int = 64,
        block_slot: Slot = empty,
        stage_slot: Slot = empty,
    ) -> None:
        super().__init__()
        if len(depths) != 4 or min(depths) < 1:
            raise ValueError(f"depths {depths} are not four numbers of 1 or more")
        self.conv1 = nn.Conv2d(3, width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        channels = width

        def stage(depth: int, stage_width: int, stride: int) -> nn.Module:
            nonlocal channels
            blocks: list[nn.Module] = []
            for index in range(depth):
                blocks.append(block(channels, stage_width, stride if index == 0 else 1, block_slot))
                channels = block.expansion * stage_width
            return nn.Sequential(*blocks)

        self.layer1 = stage(depths[0], width, 1)
        self.gate1 = stage_slot(channels)
        self.layer2 = stage(depths[1], 2 * width, 2)
        self.gate2 = stage_slot(channels)
        self.layer3 = stage(depths[2], 4 * width, 2)
        self.gate3 = stage_slot(channels)
        self.layer4 = stage(depths[3], 8 * width, 2)
        self.fc = nn.Linear(channels, classes)

    def features(self, x: Tensor) -> Tensor:
        """The last stage's map."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        x = self.gate1(self.layer1(x))
        x = self.gate2(self.layer2(x))
        x = self.gate3(self.layer3(x))
        last: Tensor = self.layer4(x)
        return last

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        last = self.features(x)
        logits: Tensor = self.fc(last.mean(tuple(range(2, last.dim()))))
        return logits


DEPTHS: dict[int, tuple[type[Basic] | type[Bottleneck], tuple[int, ...]]] = {
    18: (Basic, (2, 2, 2, 2)),
    34: (Basic, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
}
"""The block and the number of blocks in each stage, by the number of layers (He 2016, table 1)."""

LONGEST = 23
"""The longest stage there is."""


def resnet(
    depth: int,
    classes: int = 1000,
    width: int = 64,
    longest: int = LONGEST,
    block_slot: Slot = empty,
    stage_slot: Slot = empty,
) -> ResNet:
    """ResNet of ``depth`` layers, its stages cut to ``longest`` blocks. Raises ValueError for an unknown depth."""
    if depth not in DEPTHS:
        raise ValueError(f"depth {depth} is not one of {', '.join(map(str, DEPTHS))}")
    block, blocks = DEPTHS[depth]
    depths = tuple(min(count, longest) for count in blocks)
    return ResNet(block, depths, classes=classes, width=width, block_slot=block_slot, stage_slot=stage_slot)


def plain(depth: int, classes: int = 1000, width: int = 64, longest: int = LONGEST) -> ResNet:
    """ResNet without attention."""
    return resnet(depth, classes, width, longest)


REDUCED = {"classes": 10, "width": 16, "longest": 2}
"""Options that leave every kind of block in the network and little else."""

ENTRIES = tuple(
    RegistryEntry(
        name=f"resnet{depth}",
        builder=partial(plain, depth),
        paper="He 2016 (arXiv:1512.03385)",
        summary=f"ImageNet: ResNet-{depth}",
        inputs=images(224),
        outputs=("logits",),
        task="classification",
        reduced_options=REDUCED,
        reduced_inputs=images(64),
    )
    for depth in DEPTHS
)
