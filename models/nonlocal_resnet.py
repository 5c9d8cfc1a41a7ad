"""Non-local ResNet-50 (Wang et al., 2018: "Non-local Neural Networks", arXiv:1711.07971) for images and for clips.

Non-local blocks go between residual blocks of the second and third stage (res3 and res4 in the paper). ``placement``
says which (section 4.1): ``one``, before the last block of the third stage; ``alternate``, behind every other block of
both, which makes 5; ``every``, behind each, which makes 10. Layers of the residual blocks keep their names, so that
published weights of ResNet-50 fit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from .attention.non_local import NonLocal
from .entry import BATCH, Inputs, RegistryEntry, images
from .inflate import inflate
from .resnet import LONGEST, Bottleneck, ResNet, resnet

PLACEMENTS = ("one", "alternate", "every")

NonLocalBlock = Callable[[int], NonLocal]
"""Makes the block for that many channels."""


def _behind(placement: str, second: int, third: int) -> tuple[list[int], list[int]]:
    """The residual blocks of the second and of the third stage that a non-local block follows."""
    if placement == "one":
        return [], [max(third - 2, 0)]
    step = 2 if placement == "alternate" else 1
    return list(range(step - 1, second, step)), list(range(step - 1, third, step))


def _joined(stage: nn.Module, behind: list[int], block: NonLocalBlock) -> nn.Sequential:
    """The stage with non-local blocks behind those of its blocks."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, residual in enumerate(stage.children()):
        assert isinstance(residual, Bottleneck)
        layers[str(index)] = residual
        if index in behind:
            layers[f"nonlocal{index}"] = block(residual.bn3.num_features)
    return nn.Sequential(layers)


def add_non_local(network: ResNet, placement: str, block: NonLocalBlock) -> None:
    """Put non-local blocks into a ResNet of bottlenecks, in place. Raises ValueError for an unknown placement."""
    if placement not in PLACEMENTS:
        raise ValueError(f"placement {placement!r} is not one of {', '.join(PLACEMENTS)}")
    counts = (len(list(stage.children())) for stage in (network.layer2, network.layer3))
    second, third = _behind(placement, *counts)
    network.layer2 = _joined(network.layer2, second, block)
    network.layer3 = _joined(network.layer3, third, block)


def nonlocal_resnet(
    depth: int,
    classes: int = 1000,
    width: int = 64,
    longest: int = LONGEST,
    pairwise: str = "embedded",
    placement: str = "alternate",
    subsample: bool = True,
    zero_init: bool = True,
) -> ResNet:
    """For images: x (N, 3, H, W) -> logits (N, classes)."""
    network = resnet(depth, classes, width, longest)
    block = partial(NonLocal, dimensions=2, pairwise=pairwise, subsample=subsample, zero_init=zero_init)
    add_non_local(network, placement, block)
    return network


def nonlocal_resnet50_video(
    classes: int = 400,
    width: int = 64,
    longest: int = LONGEST,
    pairwise: str = "embedded",
    placement: str = "alternate",
    subsample: bool = True,
    zero_init: bool = True,
    temporal: bool = True,
) -> ResNet:
    """For clips: x (N, 3, T, H, W) -> logits (N, classes). ``temporal=False`` is the paper's C2D, table 1."""
    network = resnet(50, classes, width, longest)
    inflate(network, temporal=temporal)
    block = partial(NonLocal, dimensions=3, pairwise=pairwise, subsample=subsample, zero_init=zero_init)
    add_non_local(network, placement, block)
    return network


_PAPER = "Wang 2018 (arXiv:1711.07971)"
_REDUCED = {"classes": 10, "width": 8, "longest": 2, "zero_init": False}
"""A block that starts at zero would hide from a test what it computes."""


def _clips(frames: int, size: int, batch: Mapping[str, Any]) -> Inputs:
    return ({"name": "x", "dtype": "float32", "axes": [dict(batch), 3, frames, size, size]},)


ENTRIES = (
    RegistryEntry(
        name="nonlocal_resnet50",
        builder=partial(nonlocal_resnet, 50),
        paper=_PAPER,
        summary="ImageNet: ResNet-50 with 5 non-local blocks",
        inputs=images(224),
        outputs=("logits",),
        task="classification",
        reduced_options=_REDUCED,
        reduced_inputs=images(64),
    ),
    RegistryEntry(
        name="nonlocal_resnet50_video",
        builder=nonlocal_resnet50_video,
        paper=_PAPER,
        summary="Kinetics: ResNet-50 inflated in time, with 5 non-local blocks",
        inputs=_clips(32, 224, {"symbol": "batch", "min": 1, "opt": 1, "max": 4}),
        outputs=("logits",),
        task="classification",
        reduced_options=_REDUCED,
        reduced_inputs=_clips(16, 32, BATCH),
    ),
)
