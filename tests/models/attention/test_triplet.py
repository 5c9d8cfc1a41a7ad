"""Triplet attention against section 3.2 of Misra 2021 in NumPy FP64, each branch written with its own axes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.models.attention.triplet import TripletAttention


def plane_weights(largest: np.ndarray, mean: np.ndarray, gate: torch.nn.Module) -> np.ndarray:
    """sigmoid(BN(conv([largest; mean]))) of two (rows, columns) planes, place by place."""
    p = {name: v.detach().numpy() for name, v in gate.state_dict().items()}
    kernel = p["conv.weight"][0]
    r = kernel.shape[-1] // 2
    rows, columns = largest.shape
    out = np.empty((rows, columns))
    for y in range(rows):
        for x in range(columns):
            total = 0.0
            for a in range(max(0, y - r), min(rows, y + r + 1)):
                for b in range(max(0, x - r), min(columns, x + r + 1)):
                    place = (a - y + r, b - x + r)
                    total += kernel[0][place] * largest[a, b] + kernel[1][place] * mean[a, b]
            scaled = (total - p["norm.running_mean"][0]) / np.sqrt(p["norm.running_var"][0] + 1e-5)
            out[y, x] = 1 / (1 + np.exp(-(scaled * p["norm.weight"][0] + p["norm.bias"][0])))
    return out


def reference(x: np.ndarray, module: TripletAttention) -> np.ndarray:
    over_height, over_width, over_channels = module.gates
    out = np.empty_like(x)
    for b, image in enumerate(x):  # (C, H, W)
        channels_by_width = plane_weights(image.max(1), image.mean(1), over_height)
        height_by_channels = plane_weights(image.max(2).T, image.mean(2).T, over_width)
        height_by_width = plane_weights(image.max(0), image.mean(0), over_channels)
        weights = channels_by_width[:, None, :] + height_by_channels.T[:, :, None] + height_by_width[None]
        out[b] = weights * image / 3
    return out


@pytest.mark.parametrize(
    ("shape", "kernel_size"), [((2, 8, 9, 6), 7), ((1, 5, 4, 7), 3), ((3, 4, 1, 1), 7), ((1, 1, 3, 2), 1)]
)
def test_follows_the_formula(shape, kernel_size, randomised, draw):
    module = randomised(TripletAttention(kernel_size=kernel_size))
    x = draw(*shape)
    np.testing.assert_allclose(module(x).detach().numpy(), reference(x.numpy(), module), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kernel_size", [3, 7])
def test_it_costs_the_paper_s_six_k_squared_weights(kernel_size):
    """Misra 2021, table 1: 6 k^2 parameters; the three batch normalisations' six are not in that formula."""
    parameters = sum(p.numel() for p in TripletAttention(kernel_size=kernel_size).parameters())
    assert parameters == 6 * kernel_size**2 + 6


def test_the_paper_s_kernel_is_the_default():
    assert [gate.conv.weight.shape for gate in TripletAttention().gates] == [(1, 2, 7, 7)] * 3


def test_gradients(randomised, draw, gradcheck):
    assert gradcheck(randomised(TripletAttention(kernel_size=3)), draw(2, 3, 4, 2))


def test_exports_with_a_free_batch_axis(randomised, draw, exported):
    module = randomised(TripletAttention())
    program = exported(module, draw(3, 8, 6, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 8, 6, 5)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [0, 4])
def test_refuses_an_even_kernel(kernel_size):
    with pytest.raises(ValueError, match=f"kernel size {kernel_size} is not odd"):
        TripletAttention(kernel_size=kernel_size)
