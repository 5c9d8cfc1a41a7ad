"""CoTNet-50 (Li, Yao, Pan, Mei, 2021): x (N, 3, H, W) -> logits (N, classes).

ResNet-50 with a contextual transformer block for the 3x3 convolution of every bottleneck; where that convolution has a
stride, a 3x3 average with stride 2 stands before the block, as in the authors' code.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from .attention.contextual import ContextualTransformer
from .digits import Classifier
from .entry import RegistryEntry, images
from .stages import bottleneck_stages, conv_stem


def _cotnet(
    depths: tuple[int, ...],
    classes: int = 1000,
    width: int = 64,
    kernel_size: int = 3,
    share: int = 8,
    deepest: int = 64,
) -> nn.Module:
    def mixer(width: int, stride: int) -> nn.Module:
        context = ContextualTransformer(width, kernel_size=kernel_size, share=share)
        return nn.Sequential(nn.AvgPool2d(3, 2, padding=1), context) if stride == 2 else context

    features = nn.Sequential(
        conv_stem(width),
        bottleneck_stages(width, width, 4 * width, [min(depth, deepest) for depth in depths], mixer),
    )
    return Classifier(features, 4 * width * 2 ** (len(depths) - 1), classes)


cotnet50 = partial(_cotnet, (3, 4, 6, 3))

_BATCH = {"symbol": "batch", "min": 1, "opt": 2, "max": 4}

ENTRIES = (
    RegistryEntry(
        "cotnet50",
        cotnet50,
        "Li 2021 (arXiv:2107.12292)",
        "ImageNet: ResNet-50 with contextual transformer blocks for its 3x3 convolutions",
        images(224, batch=_BATCH),
        ("logits",),
        "classification",
        reduced_options={"classes": 10, "width": 16, "deepest": 1},
        reduced_inputs=images(64, batch=_BATCH),
    ),
)
