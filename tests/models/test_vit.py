"""Vision Transformers: torch's TransformerEncoder with the same weights, equations 1 to 4, the papers' tables."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from attnexport.models import registry
from attnexport.models.vit import ENTRIES, VisionTransformer, vit

SMALL = {"classes": 7, "image": 32, "patch": 8, "width": 24, "depth": 2, "heads": 3}


@pytest.mark.parametrize(
    ("table", "name", "millions"),
    [
        ("Dosovitskiy 2021, table 1, ViT-Base", "vit_b16", 86),
        ("Touvron 2021, table 1, DeiT-S", "vit_s16", 22),
        ("Wang 2021 (arXiv:2102.12122), table 2, DeiT-Tiny/16; Touvron 2021 cuts it to 5", "vit_ti16", 5.7),
    ],
)
def test_the_parameters_are_within_one_percent_of_the_paper_s(table, name, millions):
    with torch.device("meta"):
        module = registry.build(name)
    assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(millions, rel=0.01), table


def test_vit_b16_has_the_parameters_that_torchvision_documents():
    with torch.device("meta"):
        module = registry.build("vit_b16")
    assert sum(p.numel() for p in module.parameters()) == 86_567_656


def encoder_of_torch(module: VisionTransformer) -> nn.TransformerEncoder:
    """torch's encoder with the blocks' weights."""
    width, heads = module.head.in_features, module.blocks[0].attention.heads
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    encoder = nn.TransformerEncoder(
        layer, len(module.blocks), norm=nn.LayerNorm(width, eps=1e-6), enable_nested_tensor=False
    )
    encoder = encoder.double().eval()
    with torch.no_grad():
        for theirs, ours in zip(encoder.layers, module.blocks, strict=True):
            projections = (ours.attention.query, ours.attention.key, ours.attention.value)
            theirs.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
            theirs.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
            theirs.self_attn.out_proj.load_state_dict(ours.attention.out.state_dict())
            theirs.linear1.load_state_dict(ours.mlp[0].state_dict())
            theirs.linear2.load_state_dict(ours.mlp[2].state_dict())
            theirs.norm1.load_state_dict(ours.norm1.state_dict())
            theirs.norm2.load_state_dict(ours.norm2.state_dict())
        encoder.norm.load_state_dict(module.norm.state_dict())
    return encoder


def build(**options: object) -> VisionTransformer:
    """A small network in FP64, its parameters drawn, none of them zero."""
    module = vit(**{**SMALL, **options}).double().eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return module


def embedded(module: VisionTransformer, x: torch.Tensor) -> torch.Tensor:
    """E applied to each patch, cut by hand in row-major order: (N, 16, width)."""
    weight = module.patches.weight.flatten(1)
    rows = [
        x[:, :, i : i + 8, j : j + 8].flatten(1) @ weight.T + module.patches.bias
        for i in range(0, 32, 8)
        for j in range(0, 32, 8)
    ]
    return torch.stack(rows, dim=1)


def test_is_torch_s_encoder_between_the_patches_and_the_head():
    module = build()
    x = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    token = module.tokens[0].token.expand(3, 1, 24)
    tokens = torch.cat((token, embedded(module, x)), dim=1) + module.tokens[1].table
    expected = module.head(encoder_of_torch(module)(tokens)[:, 0])
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("positions", ["learned_1d", "learned_2d", "sinusoidal", "none"])
def test_the_mean_of_the_patches_can_be_read(positions):
    module = build(pool="mean", positions=positions)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    places = {
        "learned_1d": lambda: module.tokens[1].table,
        "learned_2d": lambda: module.tokens[0].table(),
        "sinusoidal": lambda: module.tokens[0].table,
        "none": lambda: 0.0,
    }[positions]()
    expected = module.head(encoder_of_torch(module)(embedded(module, x) + places).mean(1))
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("positions", ["learned_2d", "sinusoidal", "none"])
def test_other_positions_are_added_to_the_patches_before_the_class_token(positions):
    module = build(positions=positions)
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    patches = embedded(module, x)
    tokens = module.tokens(patches)
    assert tokens.shape == (2, 17, 24)
    assert torch.equal(tokens[:, :1], module.tokens[1].token.expand(2, 1, 24))
    assert torch.equal(tokens[:, 1:], module.tokens[0](patches))
    assert torch.equal(tokens[:, 1:], patches) == (positions == "none")


def test_without_places_the_order_of_the_patches_does_not_matter():
    """So that what is added is what tells the places apart."""
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    swapped = x.roll(8, dims=3)
    torch.testing.assert_close(*(build(positions="none")(image) for image in (x, swapped)), rtol=0, atol=1e-10)
    for positions in ("learned_1d", "learned_2d", "sinusoidal"):
        module = build(positions=positions)
        assert (module(x) - module(swapped)).abs().max() > 1e-3


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("positions", ["learned_1d", "learned_2d", "sinusoidal", "none"])
def test_exports_with_a_free_batch_axis(positions, pool):
    module = build(positions=positions, pool=pool, depth=1)
    batch = torch.export.Dim("batch", min=1, max=16)
    x = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},), strict=False).module()
    for size in (1, 3, 16):
        x = torch.randn(size, 3, 32, 32, dtype=torch.float64)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_a_reduced_network_keeps_its_heads(entry):
    module = registry.build(entry.name, **entry.reduced_options).eval()
    with torch.device("meta"):
        whole = registry.build(entry.name)
    assert module.blocks[0].attention.heads == whole.blocks[0].attention.heads
    size = entry.reduced_inputs[0]["axes"][2]
    assert module(torch.randn(2, 3, size, size)).shape == (2, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 7}, "patches of 7 pixels do not divide an image of 32"),
        ({"heads": 5}, "5 heads do not divide 24 channels"),
        ({"positions": "rotary"}, "positions 'rotary' is not one of learned_1d, learned_2d, sinusoidal, none"),
        ({"pool": "max"}, "pool 'max' is not one of token, mean"),
        ({"positions": "learned_2d", "width": 9}, "9 channels are odd"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        registry.build("vit_b16", **{**SMALL, **options})
