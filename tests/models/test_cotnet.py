"""CoTNet-50: its size against the paper's table and where its blocks stand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.models import registry
from attnexport.models.attention.contextual import ContextualTransformer


def test_has_the_paper_s_number_of_parameters():
    """Li 2021 (arXiv:2107.12292), the table of ImageNet results: 22.2 million."""
    with torch.device("meta"):
        count = sum(p.numel() for p in registry.build("cotnet50").parameters())
    assert count / 1e6 == pytest.approx(22.2, rel=0.01)


def test_a_contextual_block_stands_for_every_3x3_convolution():
    with torch.device("meta"):
        module = registry.build("cotnet50")
    found = [m for m in module.modules() if isinstance(m, ContextualTransformer)]
    assert [m.conv1x1[0].out_channels for m in found] == [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3
    assert {(m.kernel_size, m.share) for m in found} == {(3, 8)}
    inside = {id(m) for block in found for m in block.modules()}
    outside = [m for m in module.modules() if isinstance(m, nn.Conv2d) and id(m) not in inside]
    assert [m.kernel_size for m in outside if m.kernel_size != (1, 1)] == [(7, 7)]
    assert sum(isinstance(m, nn.AvgPool2d) for m in module.modules()) == 3


def test_options_reach_every_block():
    module = registry.build("cotnet50", classes=3, width=16, kernel_size=5, share=4, deepest=1).eval()
    found = [m for m in module.modules() if isinstance(m, ContextualTransformer)]
    assert [(m.kernel_size, m.share) for m in found] == [(5, 4)] * 4
    assert module(torch.randn(2, 3, 64, 64)).shape == (2, 3)
