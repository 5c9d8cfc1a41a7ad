"""Encodings of places against the papers' formulas in loops."""

from __future__ import annotations

import math

import pytest
import torch

from attnexport.models.attention.positional_encoding import (
    ClassToken,
    LearnedEncoding1d,
    LearnedEncoding2d,
    SinusoidalEncoding,
)


@pytest.mark.parametrize(("channels", "length", "used"), [(8, 6, 6), (2, 50, 7), (512, 9, 9)])
def test_the_sinusoid_is_that_of_vaswani_2017(channels, length, used, draw):
    module = SinusoidalEncoding(channels, length).double()
    x = draw(2, used, channels)
    added = module(x) - x
    for place in range(used):
        for i in range(channels // 2):
            angle = place / 10000 ** (2 * i / channels)
            for n in range(2):
                assert float(added[n, place, 2 * i]) == pytest.approx(math.sin(angle), abs=1e-12)
                assert float(added[n, place, 2 * i + 1]) == pytest.approx(math.cos(angle), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_sinusoid_is_rounded_once_whatever_the_module_was_before(dtype):
    module = SinusoidalEncoding(16, 3000).half().to(dtype)
    exact = SinusoidalEncoding(16, 3000).double().table
    assert module.table.dtype == dtype
    assert torch.equal(module.table, exact.to(dtype))
    assert not torch.equal(exact.float().double(), exact)


def test_the_sinusoid_is_there_after_a_build_without_memory():
    with torch.device("meta"):
        module = SinusoidalEncoding(8, 5)
    assert torch.equal(module.to_empty(device="cpu").table, SinusoidalEncoding(8, 5).table)


def test_the_sinusoid_is_not_part_of_a_checkpoint():
    assert list(SinusoidalEncoding(8, 5).state_dict()) == []


@pytest.mark.parametrize("used", [5, 3])
def test_a_learned_vector_per_place(used, randomised, draw):
    module = randomised(LearnedEncoding1d(4, 5))
    x = draw(2, used, 4)
    y = module(x)
    for place in range(used):
        torch.testing.assert_close(y[:, place], x[:, place] + module.table[place], rtol=0, atol=1e-14)


@pytest.mark.parametrize(("height", "width"), [(3, 2), (1, 4), (4, 1)])
def test_half_a_learned_vector_per_row_and_half_per_column(height, width, randomised, draw):
    module = randomised(LearnedEncoding2d(6, height, width))
    assert module.columns.shape == (width, 3)
    assert module.rows.shape == (height, 3)
    x = draw(2, height * width, 6)
    y = module(x)
    for row in range(height):
        for column in range(width):
            place = row * width + column
            expected = x[:, place] + torch.cat((module.columns[column], module.rows[row]))
            torch.testing.assert_close(y[:, place], expected, rtol=0, atol=1e-14)


def test_the_class_token_comes_first(randomised, draw):
    module = randomised(ClassToken(4))
    x = draw(3, 5, 4)
    y = module(x)
    assert y.shape == (3, 6, 4)
    assert torch.equal(y[:, 1:], x)
    for n in range(3):
        assert torch.equal(y[n, 0], module.token[0, 0])


@pytest.mark.parametrize("module", [LearnedEncoding1d(4, 6), LearnedEncoding2d(4, 2, 3), ClassToken(4)])
def test_gradients(module, randomised, draw, gradcheck):
    assert gradcheck(randomised(module), draw(2, 6, 4))


@pytest.mark.parametrize(
    "module", [SinusoidalEncoding(4, 9), LearnedEncoding1d(4, 9), LearnedEncoding2d(4, 2, 3), ClassToken(4)]
)
def test_exports_with_a_free_batch_axis(module, randomised, draw, exported):
    module = randomised(module)
    program = exported(module, draw(3, 6, 4))
    for batch in (1, 3, 16):
        x = draw(batch, 6, 4)
        torch.testing.assert_close(program(x), module(x), rtol=0, atol=1e-12)


def test_refuses_what_has_no_meaning():
    with pytest.raises(ValueError, match="5 channels are odd: sine and cosine take one each"):
        SinusoidalEncoding(5, 3)
    with pytest.raises(ValueError, match="5 channels are odd: row and column take half each"):
        LearnedEncoding2d(5, 2, 2)
