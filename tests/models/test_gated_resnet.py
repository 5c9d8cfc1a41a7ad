"""ResNets with gates: where the gates stand, their parameters against the papers' tables, free batch axes."""

from __future__ import annotations

import functools
from collections import Counter

import pytest
import torch

from attnexport.models import registry
from attnexport.models.attention.bam import BAM
from attnexport.models.attention.cbam import CBAM
from attnexport.models.attention.gam import GAM
from attnexport.models.attention.squeeze_excite import SqueezeExcite
from attnexport.models.attention.triplet import TripletAttention
from attnexport.models.gated_resnet import ENTRIES

BLOCKS = {18: 8, 34: 16, 50: 16, 101: 33}
GATES = {"se": SqueezeExcite, "bam": BAM, "cbam": CBAM, "triplet": TripletAttention, "gam": GAM}


@functools.cache
def parameters(name: str, **options: object) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in registry.build(name, **options).parameters())


# Millions of parameters as the papers print them.
SE_RATIOS = {2: 45.7, 4: 35.7, 8: 30.7, 16: 28.1, 32: 26.9}
PUBLISHED = [
    *(("Hu 2018, reduction ratios", "resnet50_se", {"reduction": r}, count) for r, count in SE_RATIOS.items()),
    ("Woo 2018, table 4", "resnet18_se", {"bias": True}, 11.78),
    ("Woo 2018, table 4", "resnet34_se", {"bias": True}, 21.96),
    ("Woo 2018, table 4", "resnet50_se", {"bias": True}, 28.09),
    ("Woo 2018, table 4", "resnet101_se", {"bias": True}, 49.33),
    ("Woo 2018, table 4", "resnet18_cbam", {}, 11.78),
    ("Woo 2018, table 4", "resnet34_cbam", {}, 21.96),
    ("Woo 2018, table 4", "resnet50_cbam", {}, 28.09),
    ("Woo 2018, table 4", "resnet101_cbam", {}, 49.33),
    ("Park 2018, ImageNet-1K", "resnet18_bam", {}, 11.71),
    ("Park 2018, ImageNet-1K", "resnet50_bam", {}, 25.92),
    ("Park 2018, ImageNet-1K", "resnet101_bam", {}, 44.91),
    ("Misra 2021, ImageNet-1K", "resnet50_triplet", {}, 25.56),
    ("Liu 2021, ImageNet-1K", "resnet18_gam", {}, 16.04),
    ("Liu 2021, CIFAR-100", "resnet50_gam", {"groups": 1, "classes": 100}, 149.47),
    ("Liu 2021, CIFAR-100, grouped", "resnet50_gam", {"classes": 100}, 57.04),
]


@pytest.mark.parametrize(("table", "name", "options", "millions"), PUBLISHED)
def test_the_parameters_are_within_one_percent_of_the_paper_s(table, name, options, millions):
    assert parameters(name, **options) / 1e6 == pytest.approx(millions, rel=0.01), table


@pytest.mark.parametrize(
    ("name", "thousands"),
    [("resnet50_se", 2514), ("resnet50_cbam", 2532), ("resnet50_bam", 358), ("resnet50_triplet", 4.8)],
)
def test_a_gate_costs_within_one_percent_of_the_published_overhead(name, thousands):
    """Misra 2021, table 1, what each gate adds to ResNet-50: one percent of a whole network would hide a small gate."""
    assert (parameters(name) - parameters("resnet50")) / 1e3 == pytest.approx(thousands, rel=0.01)


def test_every_depth_has_every_gate():
    names = {f"resnet{depth}_{gate}" for depth in BLOCKS for gate in GATES} | {"resnet18_gam_notes"}
    assert {entry.name for entry in ENTRIES} == names


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("depth", BLOCKS)
def test_every_block_has_its_gate_and_bam_follows_three_stages(depth, gate):
    with torch.device("meta"):
        module = registry.build(f"resnet{depth}_{gate}")
    found = Counter(type(m) for m in module.modules() if isinstance(m, tuple(GATES.values())))
    assert found == {GATES[gate]: 3 if gate == "bam" else BLOCKS[depth]}
    if gate == "bam":
        assert all(isinstance(m, BAM) for m in (module.gate1, module.gate2, module.gate3))
    else:
        assert all(isinstance(block.gate, GATES[gate]) for block in module.layer3)


@pytest.mark.parametrize(("depth", "groups"), [(18, 1), (34, 1), (50, 4), (101, 4)])
def test_gam_is_grouped_in_bottlenecks_only(depth, groups):
    with torch.device("meta"):
        gate = registry.build(f"resnet{depth}_gam").layer1[0].gate
    assert [gate.convs[i].groups for i in (0, 4)] == [groups] * 2
    assert gate.variant == "paper"


def test_the_notes_entry_is_the_tutorial_s_variant():
    with torch.device("meta"):
        gate = registry.build("resnet18_gam_notes").layer1[0].gate
    assert (gate.variant, gate.mlp[0].out_features) == ("notes", 64 // 4)


@pytest.mark.parametrize(
    ("name", "options", "read", "value"),
    [
        ("resnet18_se", {"reduction": 8, "bias": True}, lambda g: g.gate.reduce.bias.numel(), 8),
        ("resnet18_cbam", {"order": "parallel"}, lambda g: g.gate.order, "parallel"),
        ("resnet18_cbam", {"kernel_size": 3}, lambda g: g.gate.spatial.conv.kernel_size, (3, 3)),
        ("resnet18_triplet", {"kernel_size": 3}, lambda g: g.gate.gates[0].conv.kernel_size, (3, 3)),
        ("resnet18_gam", {"variant": "notes"}, lambda g: g.gate.variant, "notes"),
        ("resnet50_gam", {"shuffle": "after"}, lambda g: g.gate.convs[6].groups, 4),
    ],
)
def test_options_reach_the_gates(name, options, read, value):
    with torch.device("meta"):
        assert read(registry.build(name, **options).layer1[0]) == value


def test_options_reach_bam():
    with torch.device("meta"):
        gate = registry.build("resnet18_bam", form="authors", dilation=2, reduction=8).gate1
    assert (gate.form, gate.spatial.convs[3].dilation, gate.spatial.convs[3].out_channels) == ("authors", (2, 2), 8)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18_se", {"reduction": 7}, "reduction 7 does not divide 64 channels"),
        ("resnet50_cbam", {"order": "both"}, "order 'both' is not one of"),
        ("resnet18_gam", {"groups": 8}, "8 groups do not divide 4 hidden channels"),
        ("resnet50_bam", {"depth": 18}, "resnet50_bam has no option 'depth'"),
    ],
)
def test_a_wrong_option_is_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        registry.build(name, **options)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(entry.name, marks=[pytest.mark.sweep] if entry.name.startswith("resnet50") else [])
        for entry in ENTRIES
        if entry.name.startswith(("resnet18", "resnet50"))
    ],
)
def test_reduced_entries_export_with_a_free_batch_axis(name, settled):
    module = settled(registry.build(name, **registry.entry(name).reduced_options), 4, 3, 64, 64)
    batch = torch.export.Dim("batch", min=1, max=16)
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},), strict=False).module()
    for size in (1, 5):
        x = torch.randn(size, 3, 64, 64, dtype=torch.float64)
        assert module(x).shape == (size, 10)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-10)
