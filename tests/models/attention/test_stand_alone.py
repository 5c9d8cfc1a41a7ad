"""Stand-alone self-attention against equation 3 of Ramachandran 2019 in NumPy FP64, pixel by pixel and head by head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.models.attention.stand_alone import StandAloneAttention


def project(x: np.ndarray, weight: np.ndarray, head: int, heads: int) -> np.ndarray:
    """W x for one head at every pixel: of the head's own channels where the weight is that narrow, else of all."""
    width = weight.shape[0] // heads
    own = weight[head * width : (head + 1) * width, :, 0, 0]
    if own.shape[1] != x.shape[1]:
        x = x[:, head * own.shape[1] : (head + 1) * own.shape[1]]
    return np.einsum("oc,nchw->nohw", own, x)


def reference(x: np.ndarray, module: StandAloneAttention) -> np.ndarray:
    heads, k = module.heads, module.kernel_size
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}
    n, _, height, width = x.shape
    out = np.zeros((n, p["value.weight"].shape[0], height, width))
    d = out.shape[1] // heads
    r = k // 2
    for head in range(heads):
        q, key, value = (project(x, p[f"{name}.weight"], head, heads) for name in ("query", "key", "value"))
        for b in range(n):
            for i in range(height):
                for j in range(width):
                    logits, values = [], []
                    for a in range(i - r, i + r + 1):
                        for c in range(j - r, j + r + 1):
                            inside = 0 <= a < height and 0 <= c < width
                            k_ab = key[b, :, a, c] if inside else np.zeros(d)
                            values.append(value[b, :, a, c] if inside else np.zeros(d))
                            row, column = p["rows"][head, :, a - i + r], p["columns"][head, :, c - j + r]
                            logits.append(q[b, :, i, j] @ k_ab + q[b, :, i, j] @ np.concatenate([row, column]))
                    weights = np.exp(np.array(logits) - max(logits))
                    weights /= weights.sum()
                    out[b, head * d : (head + 1) * d, i, j] = weights @ np.array(values)
    return out


@pytest.mark.parametrize("projection", ["per_head", "full"])
@pytest.mark.parametrize(
    ("shape", "out_channels", "heads", "kernel_size"),
    [((2, 8, 5, 4), 8, 4, 3), ((1, 6, 4, 6), 12, 3, 5), ((1, 4, 3, 3), 8, 1, 7), ((2, 4, 1, 2), 4, 2, 1)],
)
def test_follows_the_formula(shape, out_channels, heads, kernel_size, projection, randomised, draw):
    module = StandAloneAttention(shape[1], out_channels, kernel_size=kernel_size, heads=heads, projection=projection)
    randomised(module)
    x = draw(*shape)
    np.testing.assert_allclose(module(x).detach().numpy(), reference(x.numpy(), module), rtol=0, atol=1e-10)


def test_the_paper_s_window_heads_and_projections_are_the_defaults():
    module = StandAloneAttention(64, 128)
    assert (module.kernel_size, module.heads) == (7, 8)
    assert module.query.weight.shape == (128, 8, 1, 1)
    assert module.rows.shape == module.columns.shape == (8, 8, 7)


def test_gradients(randomised, draw, gradcheck):
    assert gradcheck(randomised(StandAloneAttention(4, 4, kernel_size=3, heads=2)), draw(2, 4, 3, 2))


@pytest.mark.parametrize("projection", ["per_head", "full"])
def test_exports_with_a_free_batch_axis(projection, randomised, draw, exported):
    module = randomised(StandAloneAttention(8, 8, kernel_size=5, heads=2, projection=projection))
    program = exported(module, draw(3, 8, 6, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 8, 6, 5)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, "kernel size 4 is not odd"),
        ({"heads": 3}, "3 heads do not divide 8 input channels, or not 8 output channels into even widths"),
        ({"heads": 8}, "8 heads do not divide"),
        ({"heads": 0}, "0 heads do not divide"),
        ({"projection": "shared"}, "projection 'shared' is not one of per_head, full"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        StandAloneAttention(8, 8, **{"heads": 4, **options})
