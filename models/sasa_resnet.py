"""ResNet of stand-alone self-attention (Ramachandran et al., 2019): x (N, 3, H, W) -> logits (N, classes).

The 3x3 convolution of every bottleneck is attention over a 7x7 window with 8 heads, followed by a 2x2 average where the
convolution had a stride (section 3.2.1). ``stem`` is ResNet's convolution ("conv") or attention in 4x4 blocks with
spatially varying values, batch normalisation and a 4x4 maximum ("attention", section 3.2.2). ``attention`` is the
paper's ("per_head"), or what widespread code has in its place ("per_channel"). ``projection`` is "full", since the
parameters of the paper's table 1 are not reached by projections of each head's own channels, as its text has them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from .attention.attention_stem import AttentionStem
from .attention.stand_alone import AttentionConv, StandAloneAttention
from .digits import Classifier
from .entry import RegistryEntry, images
from .stages import bottleneck_stages, conv_stem

STEMS = ("conv", "attention")
ATTENTIONS = ("per_head", "per_channel")


def _sasa_resnet(*depths: int) -> Callable[..., nn.Module]:
    """The builder of the network with these numbers of bottlenecks; ``deepest`` limits each of them."""

    def build(
        classes: int = 1000,
        width: int = 64,
        kernel_size: int = 7,
        heads: int = 8,
        stem: str = "conv",
        attention: str = "per_head",
        projection: str = "full",
        deepest: int = 64,
    ) -> nn.Module:
        if stem not in STEMS:
            raise ValueError(f"stem {stem!r} is not one of {', '.join(STEMS)}")
        if attention not in ATTENTIONS:
            raise ValueError(f"attention {attention!r} is not one of {', '.join(ATTENTIONS)}")

        def mixer(width: int, stride: int) -> nn.Module:
            attends: nn.Module
            if attention == "per_channel":
                attends = AttentionConv(width, width, kernel_size=kernel_size)
            else:
                attends = StandAloneAttention(width, width, kernel_size=kernel_size, heads=heads, projection=projection)
            pooled = nn.AvgPool2d(2) if stride == 2 else nn.Identity()
            return nn.Sequential(attends, pooled, nn.BatchNorm2d(width), nn.ReLU())

        attention_stem = nn.Sequential(AttentionStem(3, width), nn.BatchNorm2d(width), nn.MaxPool2d(4))
        features = nn.Sequential(
            conv_stem(width) if stem == "conv" else attention_stem,
            bottleneck_stages(width, width, 4 * width, [min(depth, deepest) for depth in depths], mixer),
        )
        return Classifier(features, 4 * width * 2 ** (len(depths) - 1), classes)

    return build


sasa_resnet26 = _sasa_resnet(1, 2, 4, 1)
sasa_resnet38 = _sasa_resnet(2, 3, 5, 2)
sasa_resnet50 = _sasa_resnet(3, 4, 6, 3)
sasa_resnet26_per_channel = partial(sasa_resnet26, attention="per_channel")

_BATCH = {"symbol": "batch", "min": 1, "opt": 2, "max": 4}
_REDUCED = {"classes": 10, "width": 16, "heads": 4, "stem": "attention", "deepest": 1}

ENTRIES = tuple(
    RegistryEntry(
        name,
        builder,
        "Ramachandran 2019 (arXiv:1906.05909)",
        f"ImageNet: ResNet-{name[11:13]} with {words} for its 3x3 convolutions",
        images(224, batch=_BATCH),
        ("logits",),
        "classification",
        reduced_options=_REDUCED,
        reduced_inputs=images(64, batch=_BATCH),
    )
    for name, builder, words in (
        ("sasa_resnet26", sasa_resnet26, "stand-alone self-attention"),
        ("sasa_resnet38", sasa_resnet38, "stand-alone self-attention"),
        ("sasa_resnet50", sasa_resnet50, "stand-alone self-attention"),
        ("sasa_resnet26_per_channel", sasa_resnet26_per_channel, "self-attention that has a softmax for each channel"),
    )
)
