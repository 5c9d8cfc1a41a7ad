"""Position and channel attention against equations 1 to 4 of Fu 2019 in NumPy FP64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from attnexport.models.attention.dual_attention import ChannelAttention, PositionAttention

SHAPES = [(2, 8, 3, 4), (1, 16, 5, 2), (3, 8, 1, 1)]


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.array([math.exp(score - max(scores)) for score in scores])
    return powers / powers.sum()


def position(a: np.ndarray, module: PositionAttention) -> np.ndarray:
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}

    def project(name: str) -> np.ndarray:
        convolved = np.einsum("oc,nchw->nohw", p[f"{name}.weight"][:, :, 0, 0], a) + p[f"{name}.bias"][:, None, None]
        return convolved.reshape(*convolved.shape[:2], -1)

    query, key, value = project("query"), project("key"), project("value")
    out = np.empty_like(value)
    for n in range(a.shape[0]):
        for i in range(value.shape[2]):
            weights = softmax(np.array([query[n, :, i] @ key[n, :, j] for j in range(value.shape[2])]))
            out[n, :, i] = sum(weight * value[n, :, j] for j, weight in enumerate(weights))
    return p["alpha"] * out.reshape(a.shape) + a


def channel(a: np.ndarray, beta: float, energy: str) -> np.ndarray:
    out = np.empty_like(a)
    for n in range(a.shape[0]):
        for c in range(a.shape[1]):
            row = np.array([(a[n, c] * a[n, d]).sum() for d in range(a.shape[1])])
            weights = softmax(row if energy == "product" else row.max() - row)
            out[n, c] = sum(weight * a[n, d] for d, weight in enumerate(weights))
    return beta * out + a


@pytest.mark.parametrize("reduction", [8, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_position_attention_follows_the_formula(shape, reduction, randomised, draw):
    module = randomised(PositionAttention(shape[1], reduction=reduction))
    x = draw(*shape)
    np.testing.assert_allclose(module(x).detach().numpy(), position(x.numpy(), module), rtol=0, atol=1e-10)


@pytest.mark.parametrize("energy", ["contrast", "product"])
@pytest.mark.parametrize("shape", SHAPES)
def test_channel_attention_follows_the_formula(shape, energy, randomised, draw):
    module = randomised(ChannelAttention(energy=energy))
    x = draw(*shape)
    expected = channel(x.numpy(), module.beta.item(), energy)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=0, atol=1e-10)


def test_a_channel_attends_to_those_least_like_it_unless_told_otherwise(draw):
    x = draw(1, 4, 3, 3)
    itself = torch.arange(4)
    assert (ChannelAttention().weights(x).argmax(2) != itself).all()
    assert (ChannelAttention(energy="product").weights(x).argmax(2) == itself).all()


@pytest.mark.parametrize("module", [PositionAttention(8), ChannelAttention(), ChannelAttention(energy="product")])
def test_a_new_module_returns_its_input_and_its_weights_are_shares(module, draw):
    module = module.double()
    x = draw(2, 8, 3, 4)
    assert torch.equal(module(x), x)
    weights = module.weights(x)
    torch.testing.assert_close(weights.sum(2), torch.ones_like(weights[:, :, 0]), rtol=0, atol=1e-12)


def test_a_module_can_start_at_one(draw):
    x = draw(2, 8, 3, 4)
    position, channel = PositionAttention(8, zero_init=False).double(), ChannelAttention(zero_init=False).double()
    attended = position.value(x).flatten(2) @ position.weights(x).mT
    torch.testing.assert_close(position(x), x + attended.view_as(x), rtol=0, atol=1e-12)
    attended = channel.weights(x) @ x.flatten(2)
    torch.testing.assert_close(channel(x), x + attended.view_as(x), rtol=0, atol=1e-12)


def test_the_paper_s_eighth_of_the_channels_is_the_default():
    module = PositionAttention(64)
    assert module.query.weight.shape == module.key.weight.shape == (8, 64, 1, 1)
    assert module.value.weight.shape == (64, 64, 1, 1)


@pytest.mark.parametrize("module", [PositionAttention(4, reduction=2), ChannelAttention()])
def test_gradients(module, randomised, draw, gradcheck):
    assert gradcheck(randomised(module), draw(2, 4, 2, 3))


@pytest.mark.parametrize("module", [PositionAttention(8), ChannelAttention(), ChannelAttention(energy="product")])
def test_exports_with_a_free_batch_axis(module, randomised, draw, exported):
    module = randomised(module)
    program = exported(module, draw(3, 8, 4, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 8, 4, 5)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


def test_refuses_what_has_no_meaning():
    with pytest.raises(ValueError, match="reduction 3 does not divide 8 channels"):
        PositionAttention(8, reduction=3)
    with pytest.raises(ValueError, match="energy 'cosine' is not one of contrast, product"):
        ChannelAttention(energy="cosine")
