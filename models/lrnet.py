"""Local Relation Networks (Hu, Zhang, Xie, Lin, 2019): ResNet without a convolution that sees more than one pixel.

x (N, 3, H, W) -> logits (N, classes). The 7x7 convolution of the stem is a 1x1 convolution and a local relation layer
with stride 2, the 3x3 convolution of every bottleneck a local relation layer, and bottlenecks are 100, 200, 400 and 800
wide instead of 64 to 512, which makes up for the operations saved. One weight serves m = 8 channels, or, in a width
that 8 does not divide (100), as many as divide both.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from .attention.local_relation import LocalRelation
from .blocks import conv_bn
from .digits import Classifier
from .entry import RegistryEntry, images
from .stages import bottleneck_stages


def _lrnet(*depths: int) -> Callable[..., nn.Module]:
    """The builder of the network with these numbers of bottlenecks; ``deepest`` limits each of them."""

    def build(
        classes: int = 1000,
        stem: int = 64,
        width: int = 100,
        channels: int = 256,
        kernel_size: int = 7,
        share: int = 8,
        composability: str = "squared",
        deepest: int = 64,
    ) -> nn.Module:
        def mixer(width: int, stride: int) -> nn.Module:
            shared = math.gcd(width, share)
            relation = LocalRelation(
                width, width, kernel_size=kernel_size, share=shared, stride=stride, composability=composability
            )
            return nn.Sequential(relation, nn.BatchNorm2d(width), nn.ReLU())

        features = nn.Sequential(
            conv_bn(3, stem, 1), nn.ReLU(),
            mixer(stem, 2),
            nn.MaxPool2d(3, 2, padding=1),
            bottleneck_stages(stem, width, channels, [min(depth, deepest) for depth in depths], mixer),
        )  # fmt: skip
        return Classifier(features, channels * 2 ** (len(depths) - 1), classes)

    return build


lrnet26 = _lrnet(2, 2, 2, 2)
lrnet50 = _lrnet(3, 4, 6, 3)
lrnet101 = _lrnet(3, 4, 23, 3)

_BATCH = {"symbol": "batch", "min": 1, "opt": 2, "max": 4}
_REDUCED = {"classes": 10, "stem": 16, "width": 16, "channels": 32, "deepest": 1}

ENTRIES = tuple(
    RegistryEntry(
        name,
        builder,
        "Hu 2019 (arXiv:1904.11491)",
        f"ImageNet: LR-Net-{name[5:]}, local relation layers for all spatial convolutions",
        images(224, batch=_BATCH),
        ("logits",),
        "classification",
        reduced_options=_REDUCED,
        reduced_inputs=images(64, batch=_BATCH),
    )
    for name, builder in (("lrnet26", lrnet26), ("lrnet50", lrnet50), ("lrnet101", lrnet101))
)
