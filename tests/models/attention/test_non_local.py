"""Non-local blocks against equations 1 to 6 of Wang 2018 in NumPy FP64, place by place."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from attnexport.models.attention.non_local import NonLocal

PAIRWISE = ("gaussian", "embedded", "dot", "concatenation")
SHAPES = [(2, 4, 5), (2, 4, 3, 5), (1, 6, 4, 2), (2, 4, 2, 3, 2)]


def pooled(x: np.ndarray) -> np.ndarray:
    """Max-pooling by 2, the rest dropped; the first of three sizes is time and stays."""
    steps = [1, 2, 2] if x.ndim == 5 else [2] * (x.ndim - 2)
    sizes = [size // step for size, step in zip(x.shape[2:], steps, strict=True)]
    out = np.empty((*x.shape[:2], *sizes))
    for place in itertools.product(*map(range, sizes)):
        window = tuple(slice(i * step, i * step + step) for i, step in zip(place, steps, strict=True))
        out[(..., *place)] = x[(..., *window)].reshape(*x.shape[:2], -1).max(-1)
    return out


def reference(x: np.ndarray, module: NonLocal, subsample: bool) -> np.ndarray:
    p = {name: v.detach().numpy() for name, v in (*module.named_parameters(), *module.named_buffers())}

    def project(name: str) -> np.ndarray:
        weight = p[f"{name}.weight"].reshape(*p[f"{name}.weight"].shape[:2])
        bias = p[f"{name}.bias"].reshape(-1, *[1] * (x.ndim - 2))
        return np.einsum("oc,nc...->no...", weight, x) + bias

    def places(values: np.ndarray) -> np.ndarray:
        return values.reshape(*values.shape[:2], -1)

    gaussian = module.pairwise == "gaussian"
    theta, phi = (x, x) if gaussian else (project("theta"), project("phi"))
    g = project("g")
    if subsample:
        phi, g = pooled(phi), pooled(g)
    theta, phi, g = places(theta), places(phi), places(g)
    y = np.zeros((x.shape[0], g.shape[1], theta.shape[2]))
    for n in range(x.shape[0]):
        for i in range(theta.shape[2]):
            f = np.empty(phi.shape[2])
            for j in range(phi.shape[2]):
                a, b = theta[n, :, i], phi[n, :, j]
                if module.pairwise == "concatenation":
                    f[j] = max(0.0, p["concat.weight"][0] @ np.concatenate([a, b]))
                else:
                    f[j] = a @ b if module.pairwise == "dot" else math.exp(a @ b)
            c = f.sum() if module.pairwise in ("gaussian", "embedded") else len(f)
            for j in range(phi.shape[2]):
                y[n, :, i] += f[j] / c * g[n, :, j]
    z = np.einsum("oc,ncp->nop", p["out.weight"].reshape(*p["out.weight"].shape[:2]), y) + p["out.bias"][:, None]
    scale = p["norm.weight"] / np.sqrt(p["norm.running_var"] + 1e-5)
    z = (z - p["norm.running_mean"][:, None]) * scale[:, None] + p["norm.bias"][:, None]
    return z.reshape(x.shape) + x


def block(shape: tuple[int, ...], randomised, **options) -> NonLocal:
    module = randomised(NonLocal(shape[1], dimensions=len(shape) - 2, **options))
    generator = torch.Generator().manual_seed(3)
    module.norm.running_mean.normal_(generator=generator)
    module.norm.running_var.uniform_(0.5, 2, generator=generator)
    return module


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("shape", SHAPES)
def test_follows_the_formula(shape, pairwise, subsample, randomised, draw):
    module = block(shape, randomised, pairwise=pairwise, subsample=subsample)
    x = draw(*shape)
    y = module(x).detach().numpy()
    np.testing.assert_allclose(y, reference(x.numpy(), module, subsample), rtol=0, atol=1e-10)
    assert np.abs(y - x.numpy()).max() > 0.1


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_new_block_returns_its_input(dimensions, pairwise, draw):
    module = NonLocal(4, dimensions=dimensions, pairwise=pairwise).double()
    x = draw(2, 4, *[3] * dimensions)
    assert torch.equal(module.eval()(x), x)
    assert torch.equal(module.train()(x), x)


def test_a_block_can_start_at_one():
    module = NonLocal(4, zero_init=False)
    assert torch.equal(module.norm.weight, torch.ones(4))
    assert torch.equal(NonLocal(4).norm.weight, torch.zeros(4))


def test_the_paper_s_embedded_gaussian_at_half_the_channels_is_the_default():
    module = NonLocal(64)
    assert module.pairwise == "embedded"
    assert module.theta.weight.shape == module.phi.weight.shape == module.g.weight.shape == (32, 64, 1, 1)
    assert module.out.weight.shape == (64, 32, 1, 1)


@pytest.mark.parametrize(("shape", "keys"), [((2, 4, 6), 3), ((2, 4, 4, 5), 4), ((2, 4, 3, 4, 5), 12)])
def test_subsampling_makes_the_keys_fewer_and_leaves_time_alone(shape, keys, randomised, draw):
    weights = block(shape, randomised, subsample=True).weights(draw(*shape))
    assert weights.shape == (2, math.prod(shape[2:]), keys)
    torch.testing.assert_close(weights.sum(2), torch.ones_like(weights[:, :, 0]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_gradients(pairwise, randomised, draw, gradcheck):
    assert gradcheck(block((2, 2, 2, 3), randomised, pairwise=pairwise, width=2), draw(2, 2, 2, 3))


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("shape", SHAPES[1:])
def test_exports_with_a_free_batch_axis(shape, pairwise, randomised, draw, exported):
    module = block(shape, randomised, pairwise=pairwise, subsample=True)
    program = exported(module, draw(3, *shape[1:]))
    for batch in (1, 3, 16):
        x = draw(batch, *shape[1:])
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairwise": "cosine"}, "pairwise 'cosine' is not one of gaussian, embedded, dot, concatenation"),
        ({"dimensions": 4}, "4 dimensions are not 1, 2 or 3"),
        ({"width": 0}, "width 0 is not positive"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        NonLocal(8, **options)
