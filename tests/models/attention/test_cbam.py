"""CBAM against equations 1 to 3 of Woo 2018 in NumPy FP64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.models.attention.cbam import CBAM, ChannelGate, SpatialGate


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def arrays(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy() for name, p in module.named_parameters()}


def channel_map(f: np.ndarray, gate: ChannelGate) -> np.ndarray:
    p = arrays(gate)

    def mlp(v: np.ndarray) -> np.ndarray:
        return p["mlp.2.weight"] @ np.maximum(p["mlp.0.weight"] @ v + p["mlp.0.bias"], 0) + p["mlp.2.bias"]

    n, c = f.shape[:2]
    out = np.empty((n, c, 1, 1))
    for b in range(n):
        average = np.array([f[b, i].mean() for i in range(c)])
        largest = np.array([f[b, i].max() for i in range(c)])
        out[b, :, 0, 0] = sigmoid(mlp(average) + mlp(largest))
    return out


def spatial_map(f: np.ndarray, gate: SpatialGate) -> np.ndarray:
    kernel = arrays(gate)["conv.weight"][0]
    r = kernel.shape[-1] // 2
    n, _, height, width = f.shape
    out = np.empty((n, 1, height, width))
    for b in range(n):
        for y in range(height):
            for x in range(width):
                total = 0.0
                for a in range(max(0, y - r), min(height, y + r + 1)):
                    for c in range(max(0, x - r), min(width, x + r + 1)):
                        mean, largest = f[b, :, a, c].mean(), f[b, :, a, c].max()
                        total += kernel[0, a - y + r, c - x + r] * mean + kernel[1, a - y + r, c - x + r] * largest
                out[b, 0, y, x] = sigmoid(np.array(total))
    return out


def reference(f: np.ndarray, module: CBAM, order: str) -> np.ndarray:
    if order == "channel_first":
        f1 = channel_map(f, module.channel) * f
        return spatial_map(f1, module.spatial) * f1
    if order == "spatial_first":
        f1 = spatial_map(f, module.spatial) * f
        return channel_map(f1, module.channel) * f1
    return channel_map(f, module.channel) * spatial_map(f, module.spatial) * f


@pytest.mark.parametrize("order", ["channel_first", "spatial_first", "parallel"])
@pytest.mark.parametrize(
    ("shape", "reduction", "kernel_size"), [((2, 8, 9, 6), 4, 7), ((1, 6, 4, 5), 2, 3), ((3, 4, 1, 1), 1, 7)]
)
def test_follows_the_formula(shape, reduction, kernel_size, order, randomised, draw):
    module = randomised(CBAM(shape[1], reduction=reduction, kernel_size=kernel_size, order=order))
    x = draw(*shape)
    expected = reference(x.numpy(), module, order)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, rtol=0, atol=1e-10)


def test_the_paper_s_order_reduction_and_kernel_are_the_defaults():
    module = CBAM(64)
    assert module.order == "channel_first"
    assert module.channel.mlp[0].out_features == 4
    assert module.spatial.conv.weight.shape == (1, 2, 7, 7)


@pytest.mark.parametrize("order", ["channel_first", "spatial_first", "parallel"])
def test_gradients(order, randomised, draw, gradcheck):
    assert gradcheck(randomised(CBAM(4, reduction=2, kernel_size=3, order=order)), draw(2, 4, 3, 4))


def test_exports_with_a_free_batch_axis(randomised, draw, exported):
    module = randomised(CBAM(8, reduction=4))
    program = exported(module, draw(3, 8, 6, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 8, 6, 5)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 3}, "reduction 3 does not divide 8 channels"),
        ({"reduction": 0}, "reduction 0 does not divide 8 channels"),
        ({"kernel_size": 4}, "kernel size 4 is not odd"),
        ({"order": "both"}, "order 'both' is not one of channel_first, spatial_first, parallel"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        CBAM(8, **{"reduction": 4, **options})
