"""The CoT block against section 3.2 of Li 2021 in NumPy FP64; the fusion and its sharing of weights as in its code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from attnexport.models.attention.contextual import ContextualTransformer


@pytest.fixture
def module(randomised):
    """Builds a block whose norms have seen something, so that none of them is the identity."""

    def make(channels: int, **options: int) -> ContextualTransformer:
        block = randomised(ContextualTransformer(channels, **options))
        generator = torch.Generator().manual_seed(3)
        for norm in block.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.copy_(torch.randn(norm.num_features, generator=generator, dtype=torch.float64))
                norm.running_var.copy_(0.5 + torch.rand(norm.num_features, generator=generator, dtype=torch.float64))
        return block

    return make


def reference(x: np.ndarray, module: ContextualTransformer) -> np.ndarray:
    p = {name: v.detach().numpy() for name, v in module.state_dict().items()}
    n, channels, height, width = x.shape
    k, share = module.kernel_size, module.share
    r = k // 2

    def norm(name: str, v: np.ndarray) -> np.ndarray:
        mean, variance, gain, shift = (
            p[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (v - mean) / np.sqrt(variance + 1e-5) * gain + shift

    def conv1x1(name: str, v: np.ndarray) -> np.ndarray:
        return np.einsum("oc,nchw->nohw", p[f"{name}.weight"][:, :, 0, 0], v) + (
            p[f"{name}.bias"][:, None, None] if f"{name}.bias" in p else 0
        )

    def relu(v: np.ndarray) -> np.ndarray:
        return np.maximum(v, 0)

    def window(v: np.ndarray, b: int, c: int, i: int, j: int) -> np.ndarray:
        padded = np.pad(v[b, c], r)
        return padded[i : i + k, j : j + k]

    kernel = p["key_embed.0.weight"]
    per_group = kernel.shape[1]
    static = np.zeros_like(x)
    for b, c, i, j in np.ndindex(*x.shape):
        first = c // per_group * per_group
        static[b, c, i, j] = sum((kernel[c, q] * window(x, b, first + q, i, j)).sum() for q in range(per_group))
    static = relu(norm("key_embed.1", static))

    hidden = relu(norm("embed.1", conv1x1("embed.0", np.concatenate([x, static], axis=1))))
    weights = conv1x1("embed.3", hidden).reshape(n, channels // share, k * k, height, width)
    for b, g in np.ndindex(n, channels // share):
        own = weights[b, g]
        own[:] = (own - own.mean()) / np.sqrt(own.var() + 1e-5)
        part = slice(g * k * k, (g + 1) * k * k)
        own[:] = own * p["embed.4.weight"][part, None, None] + p["embed.4.bias"][part, None, None]

    values = norm("conv1x1.1", conv1x1("conv1x1.0", x))
    dynamic = np.zeros_like(x)
    for b, c, i, j in np.ndindex(*x.shape):
        dynamic[b, c, i, j] = window(values, b, c, i, j).ravel() @ weights[b, c % (channels // share), :, i, j]
    dynamic = norm("bn", dynamic)
    dynamic = dynamic / (1 + np.exp(-dynamic))

    pooled = (dynamic + static).mean((2, 3), keepdims=True)
    logits = conv1x1("se.3", relu(norm("se.1", conv1x1("se.0", pooled)))).reshape(n, channels, 2)
    share_of_dynamic = 1 / (1 + np.exp(logits[:, :, 1] - logits[:, :, 0]))[:, :, None, None]
    return share_of_dynamic * dynamic + (1 - share_of_dynamic) * static


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 16, 4, 3), {}),
        ((1, 8, 3, 5), {"kernel_size": 5, "groups": 2, "share": 2, "reduction": 4}),
        ((1, 6, 2, 2), {"kernel_size": 1, "groups": 1, "share": 3}),
        ((2, 4, 1, 2), {"groups": 4, "share": 4}),
    ],
)
def test_follows_the_formula(shape, options, module, draw):
    block = module(shape[1], **options)
    x = draw(*shape)
    np.testing.assert_allclose(block(x).detach().numpy(), reference(x.numpy(), block), rtol=0, atol=1e-10)


def test_the_authors_constants_are_the_defaults():
    block = ContextualTransformer(64)
    assert block.key_embed[0].weight.shape == (64, 16, 3, 3)
    assert [block.embed[i].out_channels for i in (0, 3)] == [32, 9 * 8]
    assert block.embed[4].num_groups == 8
    assert [block.se[i].out_channels for i in (0, 3)] == [32, 128]


def test_gradients(module, draw, gradcheck):
    assert gradcheck(module(4, groups=2, share=2), draw(2, 4, 3, 2))


def test_exports_with_a_free_batch_axis(module, draw, exported):
    block = module(16)
    program = exported(block, draw(3, 16, 6, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 16, 6, 5)
        torch.testing.assert_close(program(x), block(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, "kernel size 4 is not odd"),
        ({"groups": 3}, "groups 3 does not divide 16 channels"),
        ({"share": 0}, "share 0 does not divide 16 channels"),
        ({"reduction": 5}, "reduction 5 does not divide 16 channels"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        ContextualTransformer(16, **options)
