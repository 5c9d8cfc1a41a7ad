"""Inflation: on a clip of one frame repeated, an inflated kernel gives what the kernel gives on the frame."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from attnexport.models.inflate import inflate, inflated
from attnexport.models.resnet import resnet


def still(frame: torch.Tensor, frames: int) -> torch.Tensor:
    """(N, C, H, W) -> (N, C, frames, H, W)."""
    return frame[:, :, None].expand(-1, -1, frames, -1, -1)


@pytest.mark.parametrize("frames", [1, 3, 5])
@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 6, 3, 2, padding=1),
        nn.Conv2d(4, 6, (1, 3), padding=(0, 1), bias=False),
        nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2),
    ],
)
def test_a_kernel_gives_on_a_still_clip_what_it_gives_on_the_frame(conv, frames):
    conv = conv.double()
    clip = inflated(conv, frames)
    assert clip.weight.shape[2] == frames
    x = torch.randn(2, 4, 8, 9, dtype=torch.float64)
    y = clip(still(x, 7))
    assert y.shape[2] == 7
    inside = y[:, :, frames // 2 : 7 - frames // 2]
    torch.testing.assert_close(inside, still(conv(x), inside.shape[2]), rtol=0, atol=1e-12)


def test_a_stride_in_time_takes_every_other_frame():
    conv = nn.Conv2d(3, 4, 3, 2, padding=1).double()
    x = torch.randn(1, 3, 8, 8, 8, dtype=torch.float64)
    every, other = inflated(conv, 5)(x), inflated(conv, 5, stride=2)(x)
    torch.testing.assert_close(other, every[:, :, ::2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [50, 101])
def test_frame_by_frame_a_still_clip_is_classified_as_its_frame(depth, settled):
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    network = settled(resnet(depth, 5, 4, 2), *x.shape)
    clips = copy.deepcopy(network)
    inflate(clips, temporal=False)
    logits = network(x)
    assert (logits[0] - logits[1]).abs().max() > 0.01
    torch.testing.assert_close(clips(still(x, 16)), logits, rtol=0, atol=1e-10)
    assert list(clips.state_dict()) == list(network.state_dict())


def test_time_and_space_shrink_as_in_the_paper_s_table():
    """Wang 2018, table 1: a clip of 32 x 224 x 224 is 4 x 7 x 7 after the last stage."""
    with torch.device("meta"):
        network = resnet(50, 400)
        inflate(network)
        x = torch.empty(1, 3, 32, 224, 224)
        x = network.conv1(x)
        assert x.shape == (1, 64, 16, 112, 112)
        x = network.maxpool(x)
        assert x.shape == (1, 64, 8, 56, 56)
        x = network.layer1(x)
        assert x.shape == (1, 256, 8, 56, 56)
        x = network.gate1(x)
        assert x.shape == (1, 256, 4, 56, 56)
        for stage, shape in (("layer2", (512, 28)), ("layer3", (1024, 14)), ("layer4", (2048, 7))):
            x = getattr(network, stage)(x)
            assert x.shape == (1, shape[0], 4, shape[1], shape[1])


def test_one_kernel_of_every_two_blocks_is_inflated():
    """The authors' code, lib/models/resnet_video.py, arc 2: in res2 each."""
    with torch.device("meta"):
        network = resnet(50, 400)
        inflate(network)
    assert network.conv1.kernel_size == (5, 7, 7)
    for stage, expected in (
        (network.layer1, [3, 3, 3]),
        (network.layer2, [3, 1, 3, 1]),
        (network.layer3, [3, 1, 3, 1, 3, 1]),
        (network.layer4, [1, 3, 1]),
    ):
        assert [block.conv1.kernel_size for block in stage] == [(frames, 1, 1) for frames in expected]
        assert {block.conv2.kernel_size for block in stage} == {(1, 3, 3)}
        assert {block.conv3.kernel_size for block in stage} == {(1, 1, 1)}
