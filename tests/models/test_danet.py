"""DANet: the dilated map is the strided one, seen at every place; the head between the backbone and the pixels."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from attnexport.models import registry
from attnexport.models.attention.dual_attention import ChannelAttention, PositionAttention
from attnexport.models.danet import ENTRIES, dilate_to_eighth
from attnexport.models.resnet import resnet

SMALL = {"classes": 4, "width": 4, "longest": 3}


@pytest.mark.parametrize("depth", [50, 101])
def test_every_fourth_place_of_the_dilated_map_is_the_strided_map(depth, settled):
    """Dilation keeps what strides would drop and changes nothing of the rest, zero padding included."""
    x = torch.randn(2, 3, 64, 96, dtype=torch.float64)
    network = settled(resnet(depth, 1, 4, 3), *x.shape)
    strided = network.features(x)
    dilate_to_eighth(network, multi_grid=False)
    dilated = network.features(x)
    assert strided.shape == (2, 128, 2, 3)
    assert dilated.shape == (2, 128, 8, 12)
    assert strided.std(dim=(0, 2, 3)).median() > 0.01
    torch.testing.assert_close(dilated[:, :, ::4, ::4], strided, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("depth", "multi_grid", "third", "fourth"),
    [
        (50, False, [1, 2, 2, 2, 2, 2], [2, 4, 4]),
        (101, False, [1] + [2] * 22, [2, 4, 4]),
        (50, True, [1, 2, 2, 2, 2, 2], [4, 8, 16]),
    ],
)
def test_the_dilations_are_those_of_the_authors(depth, multi_grid, third, fourth):
    with torch.device("meta"):
        backbone = registry.build(f"danet_resnet{depth}", multi_grid=multi_grid).backbone
    for stage, dilations in ((backbone.layer3, third), (backbone.layer4, fourth)):
        assert [block.conv2.dilation for block in stage] == [(d, d) for d in dilations]
        assert [block.conv2.padding for block in stage] == [(d, d) for d in dilations]


def normalised(layers: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """A 3x3 convolution, its batch normalisation in evaluation, and a ReLU, by torch's functions."""
    conv, norm = layers
    x = F.conv2d(x, conv.weight, padding=1)
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    return F.relu(x)


@pytest.mark.parametrize("energy", ["contrast", "product"])
def test_both_attentions_read_the_map_and_their_sum_is_classified(energy, settled):
    x = torch.randn(2, 3, 32, 48, dtype=torch.float64)
    module = settled(registry.build("danet_resnet50", **SMALL, energy=energy, zero_init=False), *x.shape)
    features = module.backbone.features(x)
    total: torch.Tensor | float = 0.0
    for branch, kind in ((module.head.position, PositionAttention), (module.head.channel, ChannelAttention)):
        first, _, attention, last, _ = branch
        assert isinstance(attention, kind)
        total = total + normalised(last, attention(normalised(first, features)))
    classifier = module.head.classifier
    logits = torch.einsum("oc,nchw->nohw", classifier.weight[:, :, 0, 0], total) + classifier.bias[:, None, None]
    assert logits.shape == (2, 4, 4, 6)
    y = module(x)
    assert y.shape == (2, 4, 32, 48)
    # Corners are aligned: they are those of the map; a row between two is their mixture.
    corners = (slice(None), slice(None), slice(None, None, 31), slice(None, None, 47))
    torch.testing.assert_close(y[corners], logits[:, :, ::3, ::5], rtol=0, atol=1e-10)
    place = 10 * 3 / 31
    row = logits[:, :, 0, 0] * (1 - place) + logits[:, :, 1, 0] * place
    torch.testing.assert_close(y[:, :, 10, 0], row, rtol=0, atol=1e-10)


def test_attention_that_starts_at_zero_leaves_the_map_alone():
    head = registry.build("danet_resnet50", **SMALL).head
    x = torch.randn(1, 32, 3, 3)
    for branch in (head.position, head.channel):
        assert torch.equal(branch[2](x), x)
    started = registry.build("danet_resnet50", **SMALL, zero_init=False).head
    for branch in (started.position, started.channel):
        assert not torch.allclose(branch[2](x), x)


def test_the_backbone_carries_no_classifier_and_takes_resnet_s_weights():
    module = registry.build("danet_resnet50", **SMALL)
    weights = resnet(50, 1, 4, 3).state_dict()
    missing, unexpected = module.backbone.load_state_dict(weights, strict=False)
    assert (missing, sorted(unexpected)) == ([], ["fc.bias", "fc.weight"])


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_reduced_networks_export_with_a_free_batch_axis(entry, settled):
    size = entry.reduced_inputs[0]["axes"][2]
    x = torch.randn(3, 3, size, size, dtype=torch.float64)
    module = settled(registry.build(entry.name, **entry.reduced_options), *x.shape)
    batch = torch.export.Dim("batch", min=1, max=16)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},), strict=False).module()
    for count in (1, 2):
        x = torch.randn(count, 3, size, size, dtype=torch.float64)
        y = module(x)
        assert y.shape == (count, 5, size, size)
        torch.testing.assert_close(program(x), y, rtol=0, atol=1e-10)


def test_refuses_an_unknown_energy():
    with pytest.raises(ValueError, match="energy 'sum' is not one of contrast, product"):
        registry.build("danet_resnet101", **SMALL, energy="sum")
