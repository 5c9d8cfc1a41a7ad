"""Classifiers behind a spatial transformer: an untrained one changes nothing, ``spread`` makes it move."""

from __future__ import annotations

import pytest
import torch

from attnexport.models import registry

NAMES = [("stn_affine", "affine", 6), ("stn_projective", "projective", 8), ("stn_tps", "thin_plate_spline", 32)]


@pytest.mark.parametrize(("name", "transform", "numbers"), NAMES)
def test_the_name_says_the_transform(name, transform, numbers):
    module = registry.build(name).eval()
    assert module.transformer.transform == transform
    assert module.transformer.regressor.out_features == numbers
    assert module(torch.randn(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize(("name", "transform", "numbers"), NAMES)
def test_an_untrained_transformer_hands_the_image_on(name, transform, numbers):
    module = registry.build(name).eval()
    x = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(module(x), module.classifier(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "transform", "numbers"), NAMES)
def test_spread_makes_it_move_every_image_differently(name, transform, numbers):
    torch.manual_seed(0)
    module = registry.build(name, spread=0.1).eval()
    theta = module.transformer.theta(torch.randn(2, 1, 28, 28))
    identity = registry.build(name).transformer.theta(torch.zeros(1, 1, 28, 28))
    assert (theta - identity).abs().max() > 0.01
    assert (theta[0] - theta[1]).abs().max() > 0.001


def test_options_reach_the_sampling():
    module = registry.build("stn_tps", classes=4, mode="bicubic", padding_mode="reflection", align_corners=True)
    transformer = module.transformer
    assert (transformer.mode, transformer.padding_mode, transformer.align_corners) == ("bicubic", "reflection", True)
    assert module(torch.randn(2, 1, 28, 28)).shape == (2, 4)
