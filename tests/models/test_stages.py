"""Stages of bottlenecks: how many blocks, how wide, and where they halve the image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.models.stages import MixerBottleneck, bottleneck_stages, conv_stem


def pooled(width: int, stride: int) -> nn.Module:
    return nn.AvgPool2d(stride)


def test_widths_double_and_all_stages_but_the_first_halve_the_image():
    asked = []

    def mixer(width: int, stride: int) -> nn.Module:
        asked.append((width, stride))
        return pooled(width, stride)

    stages = bottleneck_stages(3, 4, 8, [2, 1, 3], mixer).eval()
    assert asked == [(4, 1), (4, 1), (8, 2), (16, 2), (16, 1), (16, 1)]
    x = torch.randn(2, 3, 16, 12)
    shapes = [tuple((x := stage(x)).shape) for stage in stages]
    assert shapes == [(2, 8, 16, 12), (2, 16, 8, 6), (2, 32, 4, 3)]


@pytest.mark.parametrize(("stride", "out_channels"), [(1, 6), (1, 5), (2, 6)])
def test_a_block_is_two_convolutions_round_the_mixer_and_the_shortcut(stride, out_channels):
    block = MixerBottleneck(6, 4, out_channels, nn.Sequential(nn.Tanh(), pooled(4, stride)), stride).double().eval()
    x = torch.randn(2, 6, 4, 4, dtype=torch.float64)
    inner = torch.nn.functional.avg_pool2d(block.reduce(x).relu().tanh(), stride)
    joined = block.expand(inner) + block.shortcut(x)
    torch.testing.assert_close(block(x), joined.clamp(min=0), rtol=0, atol=1e-12)
    assert isinstance(block.shortcut, nn.Identity) == (stride == 1 and out_channels == 6)


def test_the_stem_quarters_the_image():
    assert conv_stem(8)(torch.randn(2, 3, 32, 24)).shape == (2, 8, 8, 6)
