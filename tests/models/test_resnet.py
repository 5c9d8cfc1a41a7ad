"""ResNet against its definition written in functions, and against torchvision's names and parameter counts."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnexport.models import registry
from attnexport.models.resnet import Basic, Bottleneck, ResNet, resnet

REDUCED = {"classes": 5, "width": 8, "longest": 2}
DEPTHS = (18, 34, 50, 101)


def parameters(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in registry.build(name).parameters())


@pytest.mark.parametrize(
    ("name", "published"),
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032), ("resnet101", 44_549_160)],
)
def test_the_parameters_are_those_of_torchvision_s_weights(name, published):
    """The ``num_params`` that torchvision's weights carry; He 2016 prints layers and multiply-adds only."""
    assert parameters(name) == published


def reference(x: Tensor, state: dict[str, Tensor], depth: int) -> Tensor:
    """Sections 3.3 and 4.1 of He 2016, read from a state dict with torchvision's names."""

    def conv_bn(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        statistics = (state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *statistics)

    x = F.max_pool2d(conv_bn(x, "conv1", "bn1", 2).relu(), 3, 2, 1)
    places = sorted({re.match(r"layer\d\.\d+", key)[0] for key in state if key.startswith("layer")})
    for place in places:
        stride = 2 if place.endswith(".0") and place != "layer1.0" else 1
        identity = x
        if f"{place}.downsample.0.weight" in state:
            identity = conv_bn(x, f"{place}.downsample.0", f"{place}.downsample.1", stride)
        first, second, third = (f"{place}.conv{i}" for i in (1, 2, 3))
        bn1, bn2, bn3 = (f"{place}.bn{i}" for i in (1, 2, 3))
        if depth < 50:
            branch = conv_bn(conv_bn(x, first, bn1, stride).relu(), second, bn2)
        else:
            branch = conv_bn(conv_bn(conv_bn(x, first, bn1).relu(), second, bn2, stride).relu(), third, bn3)
        x = (branch + identity).relu()
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("size", [(64, 64), (96, 45)])
def test_follows_the_definition(depth, size, settled):
    module = settled(resnet(depth, **REDUCED), 4, 3, *size)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = reference(x, module.state_dict(), depth)
    assert (expected[0] - expected[1]).abs().max() > 0.1, "the logits do not depend on the image"
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("depth", "convs"), [(18, 2), (34, 2), (50, 3), (101, 3)])
def test_layers_have_torchvision_s_names(depth, convs):
    with torch.device("meta"):
        names = set(registry.build(f"resnet{depth}").state_dict())
    stages = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{name}" for name in norm)}
    for stage, blocks in enumerate(stages, 1):
        for block in range(blocks):
            place = f"layer{stage}.{block}"
            for i in range(1, convs + 1):
                expected |= {f"{place}.conv{i}.weight", *(f"{place}.bn{i}.{name}" for name in norm)}
        if stage > 1 or convs == 3:
            first = f"layer{stage}.0.downsample"
            expected |= {f"{first}.0.weight", *(f"{first}.1.{name}" for name in norm)}
    assert names == expected


def test_the_last_map_is_a_thirty_second_of_the_image():
    module = resnet(50, **REDUCED).eval()
    assert module.features(torch.randn(1, 3, 96, 64)).shape == (1, 4 * 8 * 8, 3, 2)


class Scale(nn.Module):
    """A gate whose effect on what passes it is known."""

    def __init__(self, channels: int, factor: float) -> None:
        super().__init__()
        self.channels, self.factor = channels, factor

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[1] == self.channels
        return self.factor * x


@pytest.mark.parametrize(("block", "channels"), [(Basic, 4), (Bottleneck, 16)])
def test_a_block_s_slot_weighs_the_branch_and_not_the_shortcut(block, channels, settled):
    module = settled(block(3, 4, 2, lambda given: Scale(given, 0)), 4, 3, 6, 8)
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    assert module(x).shape == (2, channels, 3, 4)
    torch.testing.assert_close(module(x), module.downsample(x).relu(), rtol=0, atol=0)


def test_the_stages_slots_stand_behind_the_first_three_stages(settled):
    module = ResNet(Basic, (1, 1, 1, 1), classes=5, width=4, stage_slot=lambda given: Scale(given, 3))
    settled(module, 4, 3, 64, 64)
    assert [gate.channels for gate in module.modules() if isinstance(gate, Scale)] == [4, 8, 16]
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    last = module.maxpool(module.bn1(module.conv1(x)).relu())
    for layer in (module.layer1, module.layer2, module.layer3):
        last = 3 * layer(last)
    torch.testing.assert_close(module.features(x), module.layer4(last), rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", DEPTHS)
def test_reduced_entries_export_with_a_free_batch_axis(depth, settled):
    entry = registry.entry(f"resnet{depth}")
    module = settled(registry.build(entry.name, **entry.reduced_options), 4, 3, 64, 64)
    batch = torch.export.Dim("batch", min=1, max=16)
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},), strict=False).module()
    for size in (1, 5):
        x = torch.randn(size, 3, 64, 64, dtype=torch.float64)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-10)


def test_an_unknown_depth_is_named():
    with pytest.raises(ValueError, match="depth 20 is not one of 18, 34, 50, 101"):
        resnet(20)


@pytest.mark.parametrize("depths", [(2, 2, 2), (2, 0, 2, 2)])
def test_other_than_four_stages_are_refused(depths):
    with pytest.raises(ValueError, match="are not four numbers of 1 or more"):
        ResNet(Basic, depths)
