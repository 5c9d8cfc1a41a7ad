"""Stand-alone self-attention against equation 3 of Ramachandran 2019 in NumPy FP64, pixel by pixel and head by head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnexport.models.attention.stand_alone import AttentionConv, StandAloneAttention


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


def per_channel(x: np.ndarray, module: AttentionConv) -> np.ndarray:
    """Every channel's own softmax over q (k + r), with the projections of zeros outside the image."""
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}
    n, channels, height, width = x.shape
    r = module.kernel_size // 2
    outside = np.zeros(channels)

    def projection(name: str, pixel: np.ndarray) -> np.ndarray:
        return p[f"{name}_conv.weight"][:, :, 0, 0] @ pixel + p.get(f"{name}_conv.bias", 0)

    out = np.zeros((n, p["query_conv.weight"].shape[0], height, width))
    half = out.shape[1] // 2
    for b in range(n):
        for i in range(height):
            for j in range(width):
                query = projection("query", x[b, :, i, j])
                logits, values = [], []
                for a in range(i - r, i + r + 1):
                    for c in range(j - r, j + r + 1):
                        pixel = x[b, :, a, c] if 0 <= a < height and 0 <= c < width else outside
                        key = projection("key", pixel)
                        key[:half] += p["rel_h"][:, 0, 0, a - i + r, 0]
                        key[half:] += p["rel_w"][:, 0, 0, 0, c - j + r]
                        logits.append(query * key)
                        values.append(projection("value", pixel))
                for channel in range(out.shape[1]):
                    weights = np.exp([logit[channel] for logit in logits])
                    out[b, channel, i, j] = weights @ [value[channel] for value in values] / weights.sum()
    return out


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("shape", "out_channels", "kernel_size"), [((2, 3, 5, 4), 6, 3), ((1, 4, 3, 6), 4, 5), ((1, 2, 2, 1), 2, 1)]
)
def test_the_per_channel_form_follows_its_formula(shape, out_channels, kernel_size, bias, randomised, draw):
    module = randomised(AttentionConv(shape[1], out_channels, kernel_size=kernel_size, bias=bias))
    x = draw(*shape)
    np.testing.assert_allclose(module(x).detach().numpy(), per_channel(x.numpy(), module), rtol=0, atol=1e-10)


def test_the_per_channel_form_has_the_parameters_of_the_code_it_is_known_from():
    shapes = {name: tuple(p.shape) for name, p in AttentionConv(6, 8, kernel_size=3).state_dict().items()}
    assert shapes == {
        "rel_h": (4, 1, 1, 3, 1),
        "rel_w": (4, 1, 1, 1, 3),
        "key_conv.weight": (8, 6, 1, 1),
        "query_conv.weight": (8, 6, 1, 1),
        "value_conv.weight": (8, 6, 1, 1),
    }


def test_gradients_of_the_per_channel_form(randomised, draw, gradcheck):
    assert gradcheck(randomised(AttentionConv(3, 4, kernel_size=3, bias=True)), draw(2, 3, 3, 2))


def test_the_per_channel_form_exports_with_a_free_batch_axis(randomised, draw, exported):
    module = randomised(AttentionConv(4, 8, kernel_size=5))
    program = exported(module, draw(3, 4, 6, 5))
    for batch in (1, 3, 16):
        x = draw(batch, 4, 6, 5)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("out_channels", "kernel_size", "message"),
    [(8, 2, "kernel size 2 is not odd"), (7, 3, "7 output channels do not make two halves")],
)
def test_the_per_channel_form_refuses_what_has_no_meaning(out_channels, kernel_size, message):
    with pytest.raises(ValueError, match=message):
        AttentionConv(8, out_channels, kernel_size=kernel_size)
