"""ResNets with a gate in their slots: SENet, and ResNet with BAM, CBAM, triplet attention and GAM.

x (N, 3, H, W) -> logits (N, classes). Each builder takes the options of its mechanism in ``attention/``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from torch import nn

from .attention.bam import BAM
from .attention.cbam import CBAM
from .attention.gam import GAM
from .attention.squeeze_excite import SqueezeExcite
from .attention.triplet import TripletAttention
from .entry import RegistryEntry, images
from .resnet import DEPTHS, LONGEST, REDUCED, Bottleneck, ResNet, resnet


def se(
    depth: int,
    classes: int = 1000,
    width: int = 64,
    longest: int = LONGEST,
    reduction: int = 16,
    bias: bool = False,
) -> ResNet:
    """SENet: squeeze and excitation in every block."""
    slot = partial(SqueezeExcite, reduction=reduction, bias=bias)
    return resnet(depth, classes, width, longest, block_slot=slot)


def bam(
    depth: int,
    classes: int = 1000,
    width: int = 64,
    longest: int = LONGEST,
    reduction: int = 16,
    dilation: int = 4,
    form: str = "paper",
) -> ResNet:
    """BAM behind each of the first three stages."""
    slot = partial(BAM, reduction=reduction, dilation=dilation, form=form)
    return resnet(depth, classes, width, longest, stage_slot=slot)


def cbam(
    depth: int,
    classes: int = 1000,
    width: int = 64,
    longest: int = LONGEST,
    reduction: int = 16,
    kernel_size: int = 7,
    order: str = "channel_first",
) -> ResNet:
    """CBAM in every block."""
    slot = partial(CBAM, reduction=reduction, kernel_size=kernel_size, order=order)
    return resnet(depth, classes, width, longest, block_slot=slot)


def triplet(depth: int, classes: int = 1000, width: int = 64, longest: int = LONGEST, kernel_size: int = 7) -> ResNet:
    """Triplet attention in every block."""

    def slot(channels: int) -> nn.Module:
        return TripletAttention(kernel_size=kernel_size)

    return resnet(depth, classes, width, longest, block_slot=slot)


def gam(
    depth: int,
    classes: int = 1000,
    width: int = 64,
    longest: int = LONGEST,
    reduction: int = 16,
    groups: int = 1,
    shuffle: str = "between",
    variant: str = "paper",
) -> ResNet:
    """GAM in every block; the paper groups and shuffles where the blocks are bottlenecks."""
    slot = partial(GAM, reduction=reduction, groups=groups, shuffle=shuffle, variant=variant)
    return resnet(depth, classes, width, longest, block_slot=slot)


GROUPS = 4
"""GAM's groups in bottlenecks: with r = 16 they give the paper's 57 million parameters, where 1 gives 149 million."""


def _entry(
    depth: int,
    gate: str,
    builder: Callable[..., nn.Module],
    paper: str,
    title: str,
    reduced: Mapping[str, Any],
    **options: Any,
) -> RegistryEntry:
    return RegistryEntry(
        name=f"resnet{depth}_{gate}",
        builder=partial(builder, depth, **options),
        paper=paper,
        summary=f"ImageNet: ResNet-{depth} with {title}",
        inputs=images(224),
        outputs=("logits",),
        task="classification",
        reduced_options={**REDUCED, **reduced},
        reduced_inputs=images(64),
    )


def _entries() -> Iterator[RegistryEntry]:
    narrow = {"reduction": 4}
    short = {"longest": 1}  # GAM's 7x7 convolutions are most of the network
    for depth, (block, _) in DEPTHS.items():
        yield _entry(depth, "se", se, "Hu 2018 (arXiv:1709.01507)", "squeeze and excitation", narrow)
        yield _entry(depth, "bam", bam, "Park 2018 (arXiv:1807.06514)", "BAM after its stages", narrow)
        yield _entry(depth, "cbam", cbam, "Woo 2018 (arXiv:1807.06521)", "CBAM in its blocks", narrow)
        yield _entry(depth, "triplet", triplet, "Misra 2021 (arXiv:2010.03045)", "triplet attention", {})
        groups = GROUPS if block is Bottleneck else 1
        title = "GAM, grouped and shuffled" if groups > 1 else "GAM"
        yield _entry(depth, "gam", gam, "Liu 2021 (arXiv:2112.05561)", title, short, groups=groups)
    yield _entry(
        18,
        "gam_notes",
        gam,
        "Liu 2021 (arXiv:2112.05561), tutorial code",
        "GAM without a sigmoid on the channels, borders repeated",
        short,
        reduction=4,
        variant="notes",
    )


ENTRIES = tuple(_entries())
