"""DANet (Fu et al., 2019: "Dual Attention Network for Scene Segmentation", arXiv:1809.02983).

x (N, 3, H, W) -> logits (N, classes, H, W). A ResNet whose last two stages are dilated instead of strided gives a map
of 1/8 of the height and width (section 3.1). Position and channel attention read it side by side, each between two
convolutions of 3x3; their sum goes through a 1x1 convolution and is enlarged to the image (section 3.4, figure 2).
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from .attention.dual_attention import ChannelAttention, PositionAttention
from .blocks import conv_bn
from .entry import RegistryEntry, images
from .resnet import LONGEST, Bottleneck, ResNet, resnet


def dilate(stage: nn.Module, dilations: list[int]) -> None:
    """Give each bottleneck of a stage its dilation and take the stride out of the stage, in place."""
    for block, dilation in zip(stage.children(), dilations, strict=True):
        assert isinstance(block, Bottleneck)
        block.conv2.stride = (1, 1)
        block.conv2.dilation = block.conv2.padding = (dilation, dilation)
        for layer in block.downsample.children():
            if isinstance(layer, nn.Conv2d):
                layer.stride = (1, 1)


def dilate_to_eighth(network: ResNet, multi_grid: bool) -> None:
    """The last stage's map at 1/8 instead of 1/32, as in the authors' code.

    The third stage's blocks have dilation 2 and the fourth's 4, the first block of each half of it. With ``multi_grid``
    the fourth's have 4, 8 and 16 (section 4.2.3).
    """
    third, fourth = (len(list(stage.children())) for stage in (network.layer3, network.layer4))
    dilate(network.layer3, [1] + [2] * (third - 1))
    dilate(network.layer4, [4, 8, 16][:fourth] if multi_grid else [2] + [4] * (fourth - 1))


class DANetHead(nn.Module):
    """(N, channels, H, W) -> logits (N, classes, H, W), by way of a quarter of the channels."""

    def __init__(self, channels: int, classes: int, energy: str, zero_init: bool) -> None:
        super().__init__()
        inner = channels // 4

        def branch(attention: nn.Module) -> nn.Module:
            return nn.Sequential(
                conv_bn(channels, inner, 3), nn.ReLU(), attention, conv_bn(inner, inner, 3), nn.ReLU()
            )  # fmt: skip

        self.position = branch(PositionAttention(inner, zero_init=zero_init))
        self.channel = branch(ChannelAttention(energy=energy, zero_init=zero_init))
        self.classifier = nn.Conv2d(inner, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each place of ``x``."""
        logits: Tensor = self.classifier(self.position(x) + self.channel(x))
        return logits


class DANet(nn.Module):
    """x (N, 3, H, W) -> logits (N, classes, H, W): ``backbone``'s features, the head, bilinear enlargement."""

    def __init__(self, backbone: ResNet, classes: int, energy: str, zero_init: bool) -> None:
        super().__init__()
        self.head = DANetHead(backbone.fc.in_features, classes, energy, zero_init)
        self.backbone = backbone
        del self.backbone.fc

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each pixel of ``x``."""
        logits = self.head(self.backbone.features(x))
        return F.interpolate(logits, x.shape[2:], mode="bilinear", align_corners=True)


def danet(
    depth: int,
    classes: int = 19,
    width: int = 64,
    longest: int = LONGEST,
    multi_grid: bool = False,
    energy: str = "contrast",
    zero_init: bool = True,
) -> DANet:
    """DANet on ResNet of ``depth`` layers, 50 or 101."""
    backbone = resnet(depth, 1, width, longest)
    dilate_to_eighth(backbone, multi_grid)
    return DANet(backbone, classes, energy, zero_init)


def _entry(depth: int) -> RegistryEntry:
    return RegistryEntry(
        name=f"danet_resnet{depth}",
        builder=partial(danet, depth),
        paper="Fu 2019 (arXiv:1809.02983)",
        summary=f"Cityscapes: DANet on a dilated ResNet-{depth}",
        inputs=images(768, batch={"symbol": "batch", "min": 1, "opt": 1, "max": 4}),
        outputs=("logits",),
        task="segmentation",
        # Attention that starts at zero would hide from a test what it computes.
        reduced_options={"classes": 5, "width": 8, "longest": 2, "zero_init": False},
        reduced_inputs=images(64),
    )


ENTRIES = (_entry(50), _entry(101))
"""Their batch is small: at 768 pixels the position attention weighs 9,216 places by 9,216."""
