"""ResNets of stand-alone self-attention: their size against the paper's table, their stems and forms of attention."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.models import registry
from attnexport.models.attention.attention_stem import AttentionStem
from attnexport.models.attention.stand_alone import AttentionConv, StandAloneAttention

MILLIONS = [("sasa_resnet26", 10.3), ("sasa_resnet38", 14.1), ("sasa_resnet50", 18.0)]
SMALL = {"classes": 3, "width": 16, "heads": 2, "deepest": 1}


@pytest.mark.parametrize("stem", ["conv", "attention"])
@pytest.mark.parametrize(("name", "millions"), MILLIONS)
def test_has_the_paper_s_number_of_parameters(name, millions, stem):
    """Ramachandran 2019 (arXiv:1906.05909), table 1, the same for both stems."""
    with torch.device("meta"):
        count = sum(p.numel() for p in registry.build(name, stem=stem).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


def test_projections_per_head_are_too_few_for_the_paper_s_table():
    """Section 2.2 gives every head its own share of the channels; the 18.0 million of table 1 need full projections."""
    with torch.device("meta"):
        count = sum(p.numel() for p in registry.build("sasa_resnet50", projection="per_head").parameters())
    assert count / 1e6 < 0.85 * 18.0


@pytest.mark.parametrize(
    ("name", "depths"),
    [("sasa_resnet26", (1, 2, 4, 1)), ("sasa_resnet38", (2, 3, 5, 2)), ("sasa_resnet50", (3, 4, 6, 3))],
)
def test_attention_stands_for_every_3x3_convolution(name, depths):
    with torch.device("meta"):
        module = registry.build(name)
    found = [m for m in module.modules() if isinstance(m, StandAloneAttention)]
    widths = [64 * 2**i for i, depth in enumerate(depths) for _ in range(depth)]
    assert [(m.value.out_channels, m.heads, m.kernel_size) for m in found] == [(width, 8, 7) for width in widths]
    kernels = [m.kernel_size for m in module.modules() if isinstance(m, nn.Conv2d)]
    assert kernels.count((7, 7)) == 1
    assert set(kernels) == {(1, 1), (7, 7)}


def test_the_attention_stem_leaves_no_convolution_that_sees_two_pixels():
    module = registry.build("sasa_resnet26", stem="attention", **SMALL).eval()
    assert all(m.kernel_size == (1, 1) for m in module.modules() if isinstance(m, nn.Conv2d))
    assert isinstance(module.features[0][0], AttentionStem)
    assert module.features[0](torch.randn(1, 3, 32, 64)).shape == (1, 16, 8, 16)
    assert module(torch.randn(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "options"), [("sasa_resnet26", {"attention": "per_channel"}), ("sasa_resnet26_per_channel", {})]
)
def test_the_per_channel_form_stands_in_its_place(name, options):
    module = registry.build(name, kernel_size=5, **options, **SMALL).eval()
    found = [m for m in module.modules() if isinstance(m, AttentionConv)]
    assert [m.kernel_size for m in found] == [5] * 4
    assert not any(isinstance(m, StandAloneAttention) for m in module.modules())
    assert module(torch.randn(2, 3, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "patches"}, "stem 'patches' is not one of conv, attention"),
        ({"attention": "global"}, "attention 'global' is not one of per_head, per_channel"),
    ],
)
def test_refuses_an_unknown_option(options, message):
    with pytest.raises(ValueError, match=message):
        registry.build("sasa_resnet26", **options)
