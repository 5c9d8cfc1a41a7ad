"""LR-Net: its size against the paper's tables, where its relations stand, and what its options reach."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.models import registry
from attnexport.models.attention.local_relation import LocalRelation


def relations(module: nn.Module) -> list[LocalRelation]:
    return [m for m in module.modules() if isinstance(m, LocalRelation)]


@pytest.mark.parametrize(("name", "millions"), [("lrnet26", 14.7), ("lrnet50", 23.3)])
def test_has_the_paper_s_number_of_parameters(name, millions):
    """Hu 2019 (arXiv:1904.11491): LR-Net-50 in the table of its architecture, LR-Net-26 in that of depths."""
    with torch.device("meta"):
        count = sum(p.numel() for p in registry.build(name).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize(
    ("name", "depths"), [("lrnet26", (2, 2, 2, 2)), ("lrnet50", (3, 4, 6, 3)), ("lrnet101", (3, 4, 23, 3))]
)
def test_every_spatial_convolution_is_a_local_relation(name, depths):
    with torch.device("meta"):
        module = registry.build(name)
    assert all(m.kernel_size == (1, 1) for m in module.modules() if isinstance(m, nn.Conv2d))
    found = [(r.query.in_channels, r.share, r.stride) for r in relations(module)]
    stages = [
        (width, share, 2 if i and not j else 1)
        for i, (width, share, depth) in enumerate(zip((100, 200, 400, 800), (4, 8, 8, 8), depths, strict=True))
        for j in range(depth)
    ]
    assert found == [(64, 8, 2), *stages]
    assert {r.kernel_size for r in relations(module)} == {7}


def test_options_reach_every_relation():
    options = {"kernel_size": 5, "share": 4, "composability": "product", "deepest": 1, "classes": 3}
    small = {"stem": 8, "width": 16, "channels": 16}
    module = registry.build("lrnet50", **options, **small).eval()
    assert {(r.kernel_size, r.share, r.composability) for r in relations(module)} == {(5, 4, "product")}
    assert len(relations(module)) == 5
    assert module(torch.randn(2, 3, 32, 32)).shape == (2, 3)
