"""Additive attention against the formulas of Bahdanau 2015, section 3.1 and appendix A.1.2, in NumPy FP64, place by place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from attnexport.models.attention.additive import AdditiveAttention, visible_softmax


def reference(
    module: AdditiveAttention, query: np.ndarray, memory: np.ndarray, padding: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}
    context, weights = np.zeros((len(query), memory.shape[2])), np.zeros(memory.shape[:2])
    for n in range(len(query)):
        energy = {}
        for j in range(memory.shape[1]):
            if not padding[n, j]:
                hidden = np.tanh(p["query.weight"] @ query[n] + p["key.weight"] @ memory[n, j])
                energy[j] = p["score.weight"][0] @ hidden
        total = sum(np.exp(e) for e in energy.values())
        for j, e in energy.items():
            weights[n, j] = np.exp(e) / total
            context[n] += weights[n, j] * memory[n, j]
    return context, weights


def inputs(batch: int, length: int, query_width: int, memory_width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, memory, and padding behind lengths that differ, the last row's being whole."""
    generator = torch.Generator().manual_seed(batch + 10 * length)
    query = torch.randn(batch, query_width, generator=generator, dtype=torch.float64)
    memory = torch.randn(batch, length, memory_width, generator=generator, dtype=torch.float64)
    lengths = torch.arange(batch).flip(0) % length
    return query, memory, torch.arange(length) >= length - lengths[:, None]


@pytest.mark.parametrize(
    ("batch", "length", "query_width", "memory_width", "width"), [(3, 5, 4, 6, 7), (1, 1, 2, 3, 1), (4, 9, 8, 2, 5)]
)
def test_follows_the_formula(batch, length, query_width, memory_width, width, randomised):
    module = randomised(AdditiveAttention(query_width, memory_width, width))
    query, memory, padding = inputs(batch, length, query_width, memory_width)
    for seen in (padding, torch.zeros_like(padding)):
        context, weights = module(query, memory, padding=seen)
        expected = reference(module, query.numpy(), memory.numpy(), seen.numpy())
        assert context.shape == (batch, memory_width)
        assert weights.shape == (batch, length)
        np.testing.assert_allclose(context.detach().numpy(), expected[0], rtol=0, atol=1e-10)
        np.testing.assert_allclose(weights.detach().numpy(), expected[1], rtol=0, atol=1e-10)
    for got, expected_tensor in zip(module(query, memory), (context, weights), strict=True):
        assert torch.equal(got, expected_tensor), "no padding is padding nowhere"


def test_keys_that_are_known_are_not_computed_again(randomised):
    module = randomised(AdditiveAttention(4, 6, 5))
    query, memory, padding = inputs(3, 5, 4, 6)
    keys = module.keys(memory)
    assert keys.shape == (3, 5, 5)
    assert torch.equal(module(query, memory, padding=padding, keys=keys)[0], module(query, memory, padding=padding)[0])
    assert not torch.equal(module(query, memory, keys=keys + 1)[0], module(query, memory)[0])


def test_a_memory_of_nothing_but_padding_gives_zeros_and_finite_gradients(randomised):
    module = randomised(AdditiveAttention(4, 6, 5))
    query, memory, _ = inputs(2, 3, 4, 6)
    query.requires_grad_()
    context, weights = module(query, memory, padding=torch.tensor([[True] * 3, [False] * 3]))
    assert torch.equal(context[0], torch.zeros(6, dtype=torch.float64))
    assert torch.equal(weights[0], torch.zeros(3, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(context.sum(), query)
    assert gradient.isfinite().all()
    assert (gradient[1] != 0).any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_hidden_places_get_exactly_nothing_whatever_their_score(dtype):
    scores = torch.tensor([[60000.0, 1, 2], [-60000.0, -60000, -60000]], dtype=dtype)
    hidden = torch.tensor([[True, False, False], [True, False, False]])
    weights = visible_softmax(scores, hidden)
    expected = torch.tensor([[0, 1 / (1 + np.e), np.e / (1 + np.e)], [0, 0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(weights.double(), expected, rtol=0, atol=1e-3 if dtype == torch.float16 else 1e-7)
    assert (weights[:, 0] == 0).all()


def test_gradients(randomised):
    module = randomised(AdditiveAttention(3, 2, 4))
    query, memory, padding = inputs(2, 3, 3, 2)
    names = [name for name, _ in module.named_parameters()]

    def call(query: Tensor, memory: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(module, named, (query, memory), {"padding": padding})

    arguments = [query, memory, *(p.detach().clone() for p in module.parameters())]
    assert torch.autograd.gradcheck(call, tuple(a.requires_grad_() for a in arguments))


def test_exports_with_free_batch_and_length(randomised):
    module = randomised(AdditiveAttention(4, 6, 5))
    batch, length = torch.export.Dim("batch", min=1, max=16), torch.export.Dim("length", min=1, max=32)
    query, memory, padding = inputs(3, 5, 4, 6)
    shapes = {"query": {0: batch}, "memory": {0: batch, 1: length}, "padding": {0: batch, 1: length}}
    program = torch.export.export(
        module, (query, memory), {"padding": padding}, dynamic_shapes=shapes, strict=False
    ).module()
    for sizes in ((1, 1), (3, 5), (16, 32)):
        query, memory, padding = inputs(*sizes, 4, 6)
        for got, expected in zip(
            program(query, memory, padding=padding), module(query, memory, padding=padding), strict=True
        ):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
