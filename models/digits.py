"""Three small networks for handwritten digits: x (N, 3, 32, 32) -> logits (N, classes).

Each is a residual network of the size that 8x8 handwriting asks for, around one of the mechanisms in ``attention/``.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .attention.cbam import CBAM
from .attention.local_relation import LocalRelation
from .attention.spatial_transformer import SpatialTransformer
from .attention.stand_alone import StandAloneAttention
from .blocks import BasicBlock, NormedBottleneck, conv_bn
from .entry import RegistryEntry, images


class Classifier(nn.Module):
    """``features`` (N, C, H, W), their mean over H and W, and one linear layer: logits (N, classes)."""

    def __init__(self, features: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of ``x``."""
        logits: Tensor = self.head(self.features(x).mean((2, 3)))
        return logits


def digits_stn_cbam(classes: int = 10, width: int = 16, reduction: int = 8) -> nn.Module:
    """An affine spatial transformer that turns and centres the digit, then a residual network with CBAM."""
    localisation = nn.Sequential(
        conv_bn(3, 16, 5, stride=2), nn.ReLU(), nn.MaxPool2d(2),
        conv_bn(16, 16, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 4 * 4, 32), nn.ReLU(),
    )  # fmt: skip
    features = nn.Sequential(
        SpatialTransformer(localisation, 32, padding_mode="border"),
        conv_bn(3, width, 3, stride=2), nn.ReLU(),
        BasicBlock(width, width, CBAM(width, reduction=reduction)),
        BasicBlock(width, 2 * width, CBAM(2 * width, reduction=reduction), stride=2),
        BasicBlock(2 * width, 4 * width, CBAM(4 * width, reduction=reduction), stride=2),
    )  # fmt: skip
    return Classifier(features, 4 * width, classes)


def digits_sasa(classes: int = 10, width: int = 32, kernel_size: int = 7, heads: int = 4) -> nn.Module:
    """A convolutional stem down to 8x8, bottlenecks with stand-alone self-attention, pooled to 4x4 on the way."""

    def block(in_channels: int, width: int) -> nn.Module:
        attention = StandAloneAttention(width, width, kernel_size=kernel_size, heads=heads)
        return NormedBottleneck(in_channels, width, 2 * width, attention)

    features = nn.Sequential(
        conv_bn(3, width, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2),
        block(width, width),
        block(2 * width, width),
        nn.AvgPool2d(2),
        block(2 * width, 2 * width),
    )  # fmt: skip
    return Classifier(features, 4 * width, classes)


def digits_lrnet(
    classes: int = 10, width: int = 32, kernel_size: int = 7, share: int = 8, composability: str = "squared"
) -> nn.Module:
    """A convolutional stem down to 8x8, bottlenecks with local relation layers, pooled to 4x4 on the way."""

    def block(in_channels: int, width: int) -> nn.Module:
        relation = LocalRelation(width, width, kernel_size=kernel_size, share=share, composability=composability)
        return NormedBottleneck(in_channels, width, 2 * width, relation)

    features = nn.Sequential(
        conv_bn(3, width, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2),
        block(width, width),
        block(2 * width, width),
        nn.AvgPool2d(2),
        block(2 * width, 2 * width),
    )  # fmt: skip
    return Classifier(features, 4 * width, classes)


def _digits(builder: Callable[..., nn.Module], paper: str, summary: str) -> RegistryEntry:
    return RegistryEntry(builder.__name__, builder, paper, summary, images(32), ("logits",), "classification")


ENTRIES = (
    _digits(
        digits_stn_cbam,
        "Jaderberg 2015 (arXiv:1506.02025), Woo 2018 (arXiv:1807.06521)",
        "digits: affine spatial transformer before a small CBAM ResNet",
    ),
    _digits(
        digits_sasa,
        "Ramachandran 2019 (arXiv:1906.05909)",
        "digits: stand-alone self-attention with relative embeddings",
    ),
    _digits(digits_lrnet, "Hu 2019 (arXiv:1904.11491)", "digits: local relation layers"),
)
