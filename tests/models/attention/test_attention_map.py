"""Attention maps explain what their modules do: each is enough to work the module's output out again, without its forward."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnexport.models.attention.attention_map import KINDS, HasAttentionMap
from attnexport.models.attention.bam import BAM
from attnexport.models.attention.cbam import CBAM, ChannelGate, SpatialGate
from attnexport.models.attention.contextual import ContextualTransformer
from attnexport.models.attention.dual_attention import ChannelAttention, PositionAttention
from attnexport.models.attention.gam import GAM
from attnexport.models.attention.local_relation import LocalRelation
from attnexport.models.attention.multi_head import MultiHeadAttention
from attnexport.models.attention.non_local import PAIRWISE, NonLocal
from attnexport.models.attention.relative_bias import RelativeBias2d
from attnexport.models.attention.self_attention import SelfAttention
from attnexport.models.attention.spatial_transformer import SpatialTransformer
from attnexport.models.attention.squeeze_excite import SqueezeExcite
from attnexport.models.attention.stand_alone import AttentionConv, StandAloneAttention
from attnexport.models.attention.triplet import TripletAttention

Make = Callable[[nn.Module], nn.Module]
Draw = Callable[..., Tensor]


def close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


GATES = {
    "squeeze_excite": (lambda: SqueezeExcite(8, reduction=2), (2, 8, 1, 1)),
    "bam": (lambda: BAM(8, reduction=2), (2, 8, 5, 6)),
    "bam_authors": (lambda: BAM(8, reduction=2, form="authors"), (2, 8, 5, 6)),
    "triplet": (lambda: TripletAttention(kernel_size=3), (2, 8, 5, 6)),
    "gam": (lambda: GAM(8, reduction=2), (2, 8, 5, 6)),
    "gam_notes": (lambda: GAM(8, reduction=2, variant="notes"), (2, 8, 5, 6)),
}


@pytest.mark.parametrize("name", GATES)
def test_a_gate_multiplies_its_input_by_its_map(name: str, randomised: Make, draw: Draw) -> None:
    make, shape = GATES[name]
    module, x = randomised(make()), draw(2, 8, 5, 6)
    weights = module.attention_map(x)
    assert (module.map_kind, weights.shape) == ("gate", shape)
    close(x * weights, module(x))


def test_cbam_is_its_two_gates_maps_in_turn(randomised: Make, draw: Draw) -> None:
    module, x = randomised(CBAM(8, reduction=2, kernel_size=3)), draw(2, 8, 5, 6)
    assert not isinstance(module, HasAttentionMap)
    for gate, shape in ((module.channel, (2, 8, 1, 1)), (module.spatial, (2, 1, 5, 6))):
        assert isinstance(gate, HasAttentionMap)
        assert gate.attention_map(x).shape == shape
    first = x * module.channel.attention_map(x)
    close(first * module.spatial.attention_map(first), module(x))


def test_self_attention_mixes_values_by_its_map(randomised: Make, draw: Draw) -> None:
    module, x = randomised(SelfAttention(8, key_channels=4)), draw(2, 6, 8)
    close(module.attention_map(x) @ module.value(x), module(x))


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"relative": True}])
def test_multi_head_attention_mixes_values_by_its_map(options: dict[str, bool], randomised: Make, draw: Draw) -> None:
    relative = RelativeBias2d(2, 2, 3) if options.get("relative") else None
    module = randomised(MultiHeadAttention(8, 2, causal=options.get("causal", False), relative=relative))
    x, padding = draw(2, 6, 8), torch.tensor([[False] * 5 + [True], [False] * 6])
    for hidden in (None, padding):
        weights = module.attention_map(x, padding=hidden)
        assert weights.shape == (2, 2, 6, 6)
        values = module.value(x).unflatten(2, (2, 4)).transpose(1, 2)
        close(module.out((weights @ values).transpose(1, 2).flatten(2)), module(x, padding=hidden))


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_a_non_local_block_mixes_values_by_its_map(pairwise: str, randomised: Make, draw: Draw) -> None:
    module, x = randomised(NonLocal(8, pairwise=pairwise, subsample=True)), draw(2, 8, 4, 6)
    weights = module.attention_map(x)
    assert weights.shape == (2, 24, 6)
    mixed = torch.einsum("nij,ncj->nci", weights, F.max_pool2d(module.g(x), 2).flatten(2)).reshape(2, -1, 4, 6)
    close(module.norm(module.out(mixed)) + x, module(x))


def test_dual_attention_mixes_places_and_channels_by_its_maps(randomised: Make, draw: Draw) -> None:
    position, channel, x = randomised(PositionAttention(8)), randomised(ChannelAttention()), draw(2, 8, 4, 5)
    mixed = torch.einsum("nij,ncj->nci", position.attention_map(x), position.value(x).flatten(2))
    close(position.alpha * mixed.reshape(x.shape) + x, position(x))
    mixed = torch.einsum("ncd,ndi->nci", channel.attention_map(x), x.flatten(2))
    close(channel.beta * mixed.reshape(x.shape) + x, channel(x))


def over_windows(weights: Tensor, values: Tensor, stride: int = 1) -> Tensor:
    """Sums of the k x k windows of values (N, C, H, W) by weights (N, heads, k*k, H', W'), channels of one head together."""
    batch, heads, taps, height, width = weights.shape
    size = int(taps**0.5)
    unfolded = F.unfold(values, size, padding=size // 2, stride=stride)
    windows = unfolded.reshape(batch, heads, -1, taps, height, width)
    return torch.einsum("nhtyx,nhctyx->nhcyx", weights, windows).flatten(1, 2)


def test_stand_alone_attention_sums_windows_by_its_map(randomised: Make, draw: Draw) -> None:
    module, x = randomised(StandAloneAttention(8, 8, kernel_size=3, heads=2)), draw(2, 8, 4, 5)
    assert module.attention_map(x).shape == (2, 2, 9, 4, 5)
    close(over_windows(module.attention_map(x), module.value(x)), module(x))


def test_the_per_channel_form_sums_windows_by_its_map(randomised: Make, draw: Draw) -> None:
    module, x = randomised(AttentionConv(6, 8, kernel_size=3)), draw(2, 6, 4, 5)
    assert module.attention_map(x).shape == (2, 8, 9, 4, 5)
    close(over_windows(module.attention_map(x), module.value_conv(x)), module(x))


@pytest.mark.parametrize("stride", [1, 2])
def test_local_relation_sums_windows_by_its_map(stride: int, randomised: Make, draw: Draw) -> None:
    module, x = randomised(LocalRelation(8, 6, kernel_size=3, share=4, stride=stride)), draw(2, 8, 4, 6)
    weights = module.attention_map(x)
    assert weights.shape == (2, 2, 9, 4 // stride, 6 // stride)
    close(weights.sum(2), torch.ones_like(weights[:, :, 0]))
    close(module.out(over_windows(weights, x, stride)), module(x))


def test_a_contextual_transformers_map_is_what_it_aggregates_by(randomised: Make, draw: Draw) -> None:
    module, x = randomised(ContextualTransformer(8)), draw(2, 8, 4, 5)
    weights, values = module.attention_map(x), module.conv1x1(x)
    assert weights.shape == (2, 1, 9, 4, 5)
    close(over_windows(weights, values), module.aggregate(values, weights.flatten(1, 2)))


@pytest.mark.parametrize("transform", ["affine", "projective", "thin_plate_spline"])
def test_a_spatial_transformer_reads_where_its_map_says(transform: str, randomised: Make, draw: Draw) -> None:
    localisation = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 5, 6))
    module = SpatialTransformer(localisation, 6, transform=transform, size=(4, 5)).double()
    nn.init.normal_(module.regressor.weight, std=0.05)
    x = draw(2, 3, 4, 5)
    grid = module.attention_map(x)
    assert grid.shape == (2, 4, 5, 2)
    close(F.grid_sample(x, grid, align_corners=False), module(x))


def test_kinds_are_those_of_the_protocol() -> None:
    held = (SqueezeExcite, BAM, ChannelGate, SpatialGate, TripletAttention, GAM, SelfAttention, MultiHeadAttention, NonLocal,
            PositionAttention, ChannelAttention, StandAloneAttention, AttentionConv, LocalRelation, SpatialTransformer,
            ContextualTransformer)  # fmt: skip
    assert {module.map_kind for module in held} == set(KINDS)
