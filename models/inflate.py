"""From images to clips: a ResNet's kernels inflated in time (Wang et al., 2018, arXiv:1711.07971, section 4; after
Carreira and Zisserman, 2017: "Quo Vadis, Action Recognition?", arXiv:1705.07750, section 2.4).

A kernel of k x k becomes one of t x k x k, each of its t planes the k x k weights divided by t: on a clip of one frame
repeated it gives what the k x k kernel gives on the frame, but for the zeros before the first and after the last frame.
"""

from __future__ import annotations

import torch
from torch import nn

from .resnet import Bottleneck, ResNet


def inflated(conv: nn.Conv2d, frames: int, stride: int = 1) -> nn.Conv3d:
    """``conv`` for clips, over an odd number of ``frames`` and every ``stride``-th of them, its weights inflated."""
    assert not isinstance(conv.padding, str), "padding by name has no place in a ResNet"
    height, width = conv.padding
    clip = nn.Conv3d(
        conv.in_channels,
        conv.out_channels,
        (frames, conv.kernel_size[0], conv.kernel_size[1]),
        (stride, conv.stride[0], conv.stride[1]),
        (frames // 2, height, width),
        (1, conv.dilation[0], conv.dilation[1]),
        conv.groups,
        conv.bias is not None,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    with torch.no_grad():
        clip.weight.copy_(conv.weight[:, :, None].expand_as(clip.weight) / frames)
        if conv.bias is not None and clip.bias is not None:
            clip.bias.copy_(conv.bias)
    return clip


def _frame_by_frame(module: nn.Module) -> None:
    """Replace what is made for images, in place, by what does the same to each frame of a clip."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            module.add_module(name, inflated(child, 1))
        elif isinstance(child, nn.BatchNorm2d):
            norm = nn.BatchNorm3d(child.num_features, child.eps, device=child.weight.device, dtype=child.weight.dtype)
            norm.load_state_dict(child.state_dict())
            module.add_module(name, norm.train(child.training))
        else:
            _frame_by_frame(child)


def inflate(network: ResNet, *, temporal: bool = True) -> None:
    """Make a ResNet of bottlenecks one for clips (N, 3, T, H, W), in place.

    Time is halved by the stem, by the pooling behind it and by one of its own behind the first stage (table 1). With
    ``temporal`` the stem becomes 5 x 7 x 7, and the first 1x1 convolution of a block 3 x 1 x 1: in every block of the
    first stage and in every other one of the rest, where the authors' code has them. Without, kernels stay in their
    frame (C2D).
    """
    network.add_module("conv1", inflated(network.conv1, 5 if temporal else 1, stride=2))
    network.add_module("maxpool", nn.MaxPool3d(3, 2, padding=1))
    network.add_module("gate1", nn.MaxPool3d((3, 1, 1), (2, 1, 1), padding=(1, 0, 0)))
    stages = (network.layer1, network.layer2, network.layer3, network.layer4)
    for number, stage in enumerate(stages):
        for index, block in enumerate(stage.children()):
            assert isinstance(block, Bottleneck)
            in_time = number == 0 or index % 2 == (1 if number == 3 else 0)
            if temporal and in_time:
                block.add_module("conv1", inflated(block.conv1, 3))
    _frame_by_frame(network)
