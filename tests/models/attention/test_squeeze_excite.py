"""Squeeze and excitation against equations 2 to 4 of Hu 2018 in NumPy FP64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.models.attention.squeeze_excite import SqueezeExcite


def reference(u: np.ndarray, module: SqueezeExcite) -> np.ndarray:
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}
    out = np.empty_like(u)
    for b in range(u.shape[0]):
        z = np.array([u[b, c].mean() for c in range(u.shape[1])])
        hidden = np.maximum(p["reduce.weight"] @ z + p.get("reduce.bias", 0), 0)
        s = 1 / (1 + np.exp(-(p["expand.weight"] @ hidden + p.get("expand.bias", 0))))
        for c in range(u.shape[1]):
            out[b, c] = s[c] * u[b, c]
    return out


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("shape", "reduction"), [((2, 8, 9, 6), 4), ((1, 6, 4, 5), 2), ((3, 4, 1, 1), 1)])
def test_follows_the_formula(shape, reduction, bias, randomised, draw):
    module = randomised(SqueezeExcite(shape[1], reduction=reduction, bias=bias))
    x = draw(*shape)
    np.testing.assert_allclose(module(x).detach().numpy(), reference(x.numpy(), module), rtol=0, atol=1e-10)


def test_the_paper_s_reduction_without_biases_is_the_default():
    parameters = {name: tuple(p.shape) for name, p in SqueezeExcite(64).named_parameters()}
    assert parameters == {"reduce.weight": (4, 64), "expand.weight": (64, 4)}


def test_the_scale_is_a_weight_for_each_channel(randomised, draw):
    module, x = randomised(SqueezeExcite(8, reduction=2)), draw(2, 8, 5, 3)
    scale = module.scale(x)
    assert scale.shape == (2, 8, 1, 1)
    assert ((scale > 0) & (scale < 1)).all()
    torch.testing.assert_close(module(x), scale * x, rtol=0, atol=0)


@pytest.mark.parametrize("bias", [False, True])
def test_gradients(bias, randomised, draw, gradcheck):
    assert gradcheck(randomised(SqueezeExcite(4, reduction=2, bias=bias)), draw(2, 4, 3, 4))


def test_exports_with_a_free_batch_axis(randomised, draw, exported):
    module = randomised(SqueezeExcite(8, reduction=4))
    program = exported(module, draw(3, 8, 6, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 8, 6, 5)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("reduction", [0, 3, 16])
def test_refuses_a_reduction_that_does_not_divide(reduction):
    with pytest.raises(ValueError, match=f"reduction {reduction} does not divide 8 channels"):
        SqueezeExcite(8, reduction=reduction)
