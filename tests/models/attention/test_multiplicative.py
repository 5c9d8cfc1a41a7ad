"""Luong's attention against the formulas of Luong 2015, sections 3.1 and 3.2, in NumPy FP64, place by place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from attnexport.models.attention.multiplicative import SCORES, WINDOWS, MultiplicativeAttention


def score(p: dict[str, np.ndarray], kind: str, query: np.ndarray, place: np.ndarray) -> float:
    if kind == "dot":
        return float(query @ place)
    if kind == "general":
        return float(query @ p["key.weight"] @ place)
    joined = np.concatenate([p["query.weight"], p["key.weight"]], axis=1)
    return float(p["score.weight"][0] @ np.tanh(joined @ np.concatenate([query, place])))


def reference(
    module: MultiplicativeAttention,
    kind: str,
    query: np.ndarray,
    memory: np.ndarray,
    lengths: list[int],
    position: list[int],
) -> tuple[np.ndarray, np.ndarray]:
    p = {name: v.detach().numpy() for name, v in module.named_parameters()}
    reach = module.reach
    context, weights = np.zeros((len(query), memory.shape[2])), np.zeros(memory.shape[:2])
    for n, length in enumerate(lengths):
        if module.window == "local_p":
            predicted = p["centre.2.weight"][0] @ np.tanh(p["centre.0.weight"] @ query[n])
            centre = length / (1 + math.exp(-predicted))
        else:
            centre = min(position[n], length - 1)
        places = [s for s in range(length) if module.window == "global" or centre - reach <= s <= centre + reach]
        powers = {s: math.exp(score(p, kind, query[n], memory[n, s])) for s in places}
        for s, power in powers.items():
            weights[n, s] = power / sum(powers.values())
            if module.window == "local_p":
                sigma = reach / 2
                weights[n, s] *= math.exp(-((s - centre) ** 2) / (2 * sigma**2))
            context[n] += weights[n, s] * memory[n, s]
    return context, weights


def inputs(lengths: list[int], length: int, query_width: int, memory_width: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(length)
    query = torch.randn(len(lengths), query_width, generator=generator, dtype=torch.float64)
    memory = torch.randn(len(lengths), length, memory_width, generator=generator, dtype=torch.float64)
    return query, memory, torch.arange(length) >= torch.tensor(lengths)[:, None]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize(
    ("lengths", "length", "widths", "reach", "position"),
    [
        ([7, 4, 1, 7], 7, (5, 5), 2, [3, 1, 0, 6]),
        ([12, 9], 12, (4, 6), 1, [0, 40]),
        ([3], 3, (2, 3), 10, [1]),
    ],
)
def test_follows_the_formula(kind, window, lengths, length, widths, reach, position, randomised):
    if kind == "dot":
        widths = (widths[0], widths[0])
    module = randomised(MultiplicativeAttention(*widths, score=kind, window=window, reach=reach))
    query, memory, padding = inputs(lengths, length, *widths)
    context, weights = module(query, memory, padding=padding, position=torch.tensor(position))
    expected = reference(module, kind, query.numpy(), memory.numpy(), lengths, position)
    np.testing.assert_allclose(context.detach().numpy(), expected[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(weights.detach().numpy(), expected[1], rtol=0, atol=1e-10)
    whole = reference(module, kind, query.numpy(), memory.numpy(), [length] * len(lengths), position)
    np.testing.assert_allclose(
        module(query, memory, position=torch.tensor(position))[0].detach().numpy(), whole[0], rtol=0, atol=1e-10
    )


def test_the_paper_s_reach_is_the_default():
    assert MultiplicativeAttention(4, 4).reach == 10


@pytest.mark.parametrize(("kind", "width"), [("dot", 4), ("general", 6), ("concat", 3)])
def test_keys_that_are_known_are_not_computed_again(kind, width, randomised):
    memory_width = 4 if kind == "dot" else 5
    module = randomised(MultiplicativeAttention(4 if kind == "dot" else 6, memory_width, score=kind, width=3))
    query, memory, padding = inputs([5, 3], 5, 4 if kind == "dot" else 6, memory_width)
    keys = module.keys(memory)
    assert keys.shape == (2, 5, width)
    assert torch.equal(module(query, memory, padding=padding, keys=keys)[0], module(query, memory, padding=padding)[0])
    assert not torch.equal(module(query, memory, keys=keys * 2)[0], module(query, memory)[0])


@pytest.mark.parametrize("window", WINDOWS)
def test_a_memory_of_nothing_but_padding_gives_zeros(window, randomised):
    module = randomised(MultiplicativeAttention(4, 4, window=window, reach=2))
    query, memory, padding = inputs([0, 3], 3, 4, 4)
    context, weights = module(query, memory, padding=padding, position=torch.tensor([1, 1]))
    assert torch.equal(context[0], torch.zeros(4, dtype=torch.float64))
    assert torch.equal(weights[0], torch.zeros(3, dtype=torch.float64))
    assert context.isfinite().all()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", SCORES)
def test_gradients(kind, window, randomised):
    module = randomised(MultiplicativeAttention(3, 3, score=kind, window=window, reach=2))
    query, memory, padding = inputs([4, 3], 4, 3, 3)
    names = [name for name, _ in module.named_parameters()]
    options = {"padding": padding, "position": torch.tensor([1, 3])}

    def call(query: Tensor, memory: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(module, named, (query, memory), options)

    arguments = [query, memory, *(p.detach().clone() for p in module.parameters())]
    assert torch.autograd.gradcheck(call, tuple(a.requires_grad_() for a in arguments))


def test_the_predicted_centre_learns_from_the_gaussian(randomised):
    module = randomised(MultiplicativeAttention(3, 3, window="local_p", reach=2))
    query, memory, _ = inputs([4, 3], 4, 3, 3)
    module(query, memory)[0].sum().backward()
    assert all((p.grad != 0).any() for p in module.centre.parameters())


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind", SCORES)
def test_exports_with_free_batch_and_length(kind, window, randomised):
    module = randomised(MultiplicativeAttention(4, 4, score=kind, window=window, reach=2))
    batch, length = torch.export.Dim("batch", min=1, max=16), torch.export.Dim("length", min=1, max=32)
    query, memory, padding = inputs([5, 3, 4], 5, 4, 4)
    shapes = {
        "query": {0: batch}, "memory": {0: batch, 1: length}, "padding": {0: batch, 1: length}, "position": {0: batch},
    }  # fmt: skip
    options = {"padding": padding, "position": torch.tensor([0, 1, 9])}
    program = torch.export.export(module, (query, memory), options, dynamic_shapes=shapes, strict=False).module()
    for count, size in ((1, 1), (3, 5), (16, 32)):
        query, memory, padding = inputs([max(1, size - n) for n in range(count)], size, 4, 4)
        options = {"padding": padding, "position": torch.arange(count)}
        for got, expected in zip(program(query, memory, **options), module(query, memory, **options), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


def test_monotonic_attention_asks_for_the_position():
    with pytest.raises(ValueError, match="window 'local_m' takes the target's position"):
        MultiplicativeAttention(4, 4, window="local_m")(torch.zeros(1, 4), torch.zeros(1, 3, 4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "cosine"}, "score 'cosine' is not one of dot, general, concat"),
        ({"window": "local"}, "window 'local' is not one of global, local_m, local_p"),
        ({"score": "dot"}, "score 'dot' takes equal widths, not 4 and 5"),
        ({"reach": 0}, "reach 0 is below 1"),
    ],
)
def test_refuses_what_has_no_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        MultiplicativeAttention(4, 5, **options)
