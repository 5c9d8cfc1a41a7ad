"""GAM against equations 1 and 2 of Liu 2021, and against the tutorial's variant, in NumPy FP64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attnexport.models.attention.gam import GAM, ChannelShuffle


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def conv(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, groups: int, padding: str) -> np.ndarray:
    out_channels, share, k, _ = weight.shape
    r = k // 2
    height, width = x.shape[-2:]
    padded = np.pad(x, ((0, 0), (0, 0), (r, r), (r, r)), mode=padding)
    out = np.zeros((x.shape[0], out_channels, height, width))
    for o in range(out_channels):
        first = o // (out_channels // groups) * share
        for a in range(k):
            for b in range(k):
                window = padded[:, first : first + share, a : a + height, b : b + width]
                out[:, o] += np.einsum("c,nchw->nhw", weight[o, :, a, b], window)
        out[:, o] += bias[o]
    return out


def shuffle(x: np.ndarray, groups: int) -> np.ndarray:
    """Deals the channels out like cards: the first of each group, the second of each group, ..."""
    share = x.shape[1] // groups
    return x[:, [g * share + i for i in range(share) for g in range(groups)]]


def reference(f1: np.ndarray, module: GAM, groups: int, place: str, variant: str) -> np.ndarray:
    p = {name: v.detach().numpy() for name, v in module.state_dict().items()}
    padding = "edge" if variant == "notes" else "constant"

    def norm(index: int, x: np.ndarray) -> np.ndarray:
        mean, var, weight, bias = (
            p[f"convs.{index}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(var + 1e-5) * weight + bias

    channel = np.empty_like(f1)
    for b, y, x in np.ndindex(f1.shape[0], *f1.shape[2:]):
        hidden = np.maximum(p["mlp.0.weight"] @ f1[b, :, y, x] + p["mlp.0.bias"], 0)
        channel[b, :, y, x] = p["mlp.2.weight"] @ hidden + p["mlp.2.bias"]
    f2 = f1 * (channel if variant == "notes" else sigmoid(channel))
    hidden = np.maximum(norm(1, conv(f2, p["convs.0.weight"], p["convs.0.bias"], groups, padding)), 0)
    if place == "between":
        hidden = shuffle(hidden, groups)
    spatial = norm(5, conv(hidden, p["convs.4.weight"], p["convs.4.bias"], groups, padding))
    if place == "after":
        spatial = shuffle(spatial, groups)
    return f2 * sigmoid(spatial)


@pytest.mark.parametrize("variant", ["paper", "notes"])
@pytest.mark.parametrize(("groups", "place"), [(1, "between"), (2, "between"), (2, "after"), (4, "between")])
@pytest.mark.parametrize(
    ("shape", "reduction", "kernel_size"), [((2, 16, 9, 6), 2, 7), ((1, 32, 4, 5), 4, 3), ((3, 8, 1, 1), 1, 7)]
)
def test_follows_the_formula(shape, reduction, kernel_size, groups, place, variant, randomised, draw):
    options = {"reduction": reduction, "kernel_size": kernel_size, "groups": groups, "shuffle": place}
    module = randomised(GAM(shape[1], variant=variant, **options))
    x = draw(*shape)
    expected = reference(x.numpy(), module, groups, place, variant)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=0, atol=1e-10)


class Tutorial(nn.Module):
    """The operations of the tutorial that the variant "notes" is named after, in its order, on the variant's layers."""

    def __init__(self, module: GAM) -> None:
        super().__init__()
        self.mlp, self.convs = module.mlp, module.convs

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(b, -1, c)
        x = x * self.mlp(rows).view(b, h, w, c).permute(0, 3, 1, 2)
        hidden = self.convs[1](self.convs[0](x)).relu()
        return x * self.convs[5](self.convs[4](hidden)).sigmoid()


def test_the_variant_is_the_tutorial_s(randomised, draw):
    module = randomised(GAM(8, reduction=4, variant="notes"))
    assert [conv.padding_mode for conv in (module.convs[0], module.convs[4])] == ["replicate"] * 2
    x = draw(2, 8, 10, 9)
    torch.testing.assert_close(module(x), Tutorial(module)(x), rtol=0, atol=1e-12)


def test_only_the_paper_s_channel_map_is_bounded(randomised, draw):
    x = draw(2, 8, 6, 5)
    paper = randomised(GAM(8, reduction=2)).channel(x)
    notes = randomised(GAM(8, reduction=2, variant="notes")).channel(x)
    assert ((paper > 0) & (paper < 1)).all()
    assert notes.min() < 0
    assert notes.max() > 1


def test_shuffled_channels_are_those_of_torch(draw):
    x = draw(2, 12, 3, 4)
    torch.testing.assert_close(ChannelShuffle(3)(x), nn.ChannelShuffle(3)(x), rtol=0, atol=0)


def test_the_paper_s_reduction_and_kernel_are_the_defaults():
    module = GAM(64)
    assert module.variant == "paper"
    assert module.mlp[0].out_features == 4
    assert (module.convs[0].weight.shape, module.convs[4].weight.shape) == ((4, 64, 7, 7), (64, 4, 7, 7))
    assert module.convs[0].padding_mode == "zeros"


@pytest.mark.parametrize("variant", ["paper", "notes"])
@pytest.mark.parametrize("groups", [1, 2])
def test_gradients(variant, groups, randomised, draw, gradcheck):
    module = GAM(4, reduction=2, kernel_size=3, groups=groups, variant=variant)
    assert gradcheck(randomised(module), draw(1, 4, 3, 2))


@pytest.mark.parametrize("variant", ["paper", "notes"])
@pytest.mark.parametrize("groups", [1, 2])
def test_exports_with_a_free_batch_axis(variant, groups, randomised, draw, exported):
    module = randomised(GAM(8, reduction=2, groups=groups, variant=variant))
    program = exported(module, draw(3, 8, 6, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 8, 6, 5)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 3}, "reduction 3 does not divide 8 channels"),
        ({"reduction": 0}, "reduction 0 does not divide 8 channels"),
        ({"groups": 3}, "3 groups do not divide 4 hidden channels"),
        ({"groups": 0}, "0 groups do not divide 4 hidden channels"),
        ({"kernel_size": 4}, "kernel size 4 is not odd"),
        ({"shuffle": "before"}, "shuffle 'before' is not one of between, after"),
        ({"variant": "mine"}, "variant 'mine' is not one of paper, notes"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        GAM(8, **{"reduction": 2, **options})
