"""The suite's layers against their formulas in NumPy FP64, and what the suite holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from attnexport.benchmarks.local_attention_dot import (
    LocalLayer,
    Neighbourhood,
    StandAlone,
    StandAloneEinsum,
    StandAloneShifted,
)
from attnexport.benchmarks.local_attention_shared import Involution, LocalRelation, Outlook, PerChannel
from attnexport.benchmarks.local_attention_suite import SUITE, Layer, choose, useful_flops

Array = npt.NDArray[np.float64]


def windows(x: Array, kernel: int, dilation: int = 1, stride: int = 1) -> Array:
    """(N, C, H, W) -> (N, C, rows, columns, kernel * kernel), zeros outside, value by value."""
    batch, channels, height, width = x.shape
    reach = dilation * (kernel // 2)
    y = np.zeros((batch, channels, -(-height // stride), -(-width // stride), kernel**2))
    for p, q, i, j in np.ndindex(*y.shape[2:4], kernel, kernel):
        row, column = p * stride + i * dilation - reach, q * stride + j * dilation - reach
        if 0 <= row < height and 0 <= column < width:
            y[:, :, p, q, i * kernel + j] = x[:, :, row, column]
    return y


def softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    result: Array = e / e.sum(axis, keepdims=True)
    return result


def project(x: Array, layer: Any) -> Array:
    """A 1x1 convolution or a Linear, on axis 1."""
    weight = layer.weight.detach().numpy().reshape(len(layer.weight), -1)
    bias = layer.bias.detach().numpy() if layer.bias is not None else np.zeros(len(weight))
    result: Array = np.einsum("oc,ncyx->noyx", weight, x) + bias[:, None, None]
    return result


def numbers(tensor: torch.Tensor) -> Array:
    return tensor.detach().numpy()


def heads_of(x: Array, heads: int) -> Array:
    return x.reshape(len(x), heads, -1, *x.shape[2:])


def stand_alone(m: StandAlone, x: Array, dilation: int = 1, stride: int = 1) -> Array:
    query = heads_of(project(x, m.query)[:, :, ::stride, ::stride], m.heads)
    key = heads_of(windows(project(x, m.key), m.kernel, dilation, stride), m.heads)
    value = heads_of(windows(project(x, m.value), m.kernel, dilation, stride), m.heads)
    rows, columns = numbers(m.rows)[..., 0], numbers(m.columns)[:, :, 0]
    scores = np.empty((*key.shape[:2], *key.shape[3:]))
    for i, j in np.ndindex(m.kernel, m.kernel):
        relative = np.concatenate((rows[:, :, i], columns[:, :, j]), 1)[..., None, None]
        t = i * m.kernel + j
        scores[..., t] = (query * (key[..., t] + relative)).sum(2)
    return np.einsum("nhyxt,nhcyxt->nhcyx", softmax(scores), value).reshape(len(x), -1, *query.shape[3:])


def neighbourhood(m: Neighbourhood, x: Array, dilation: int = 1) -> Array:
    query, key, value = np.split(project(x, m.qkv), 3, 1)
    keys = heads_of(windows(key, m.kernel, dilation), m.heads)
    values = heads_of(windows(value, m.kernel, dilation), m.heads)
    scores = np.einsum("nhcyx,nhcyxt->nhyxt", heads_of(query, m.heads), keys) / np.sqrt(m.width)
    scores = scores + numbers(m.bias)[:, :, :, :]
    inside = windows(np.ones_like(x[:, :1]), m.kernel, dilation)
    weights = np.exp(scores) * inside
    weights /= weights.sum(-1, keepdims=True)
    return project(np.einsum("nhyxt,nhcyxt->nhcyx", weights, values).reshape(x.shape), m.out)


def per_channel(m: PerChannel, x: Array) -> Array:
    k, half = m.kernel, m.channels // 2
    key, value = windows(project(x, m.key), k), windows(project(x, m.value), k)
    for i, j in np.ndindex(k, k):
        key[:, :half, :, :, i * k + j] += numbers(m.rows)[:, 0, 0, i, 0][:, None, None]
        key[:, half:, :, :, i * k + j] += numbers(m.columns)[:, 0, 0, 0, j][:, None, None]
    result: Array = (softmax(project(x, m.query)[..., None] * key) * value).sum(-1)
    return result


def local_relation(m: LocalRelation, x: Array, stride: int = 1) -> Array:
    k = m.kernel
    query, key = project(x, m.query)[:, :, ::stride, ::stride], windows(project(x, m.key), k, 1, stride)
    places = np.stack(np.meshgrid(np.arange(k) - k // 2, np.arange(k) - k // 2, indexing="ij"))[None].astype(float)
    prior = project(np.maximum(project(places, m.prior[0]), 0), m.prior[2]).reshape(1, m.groups, 1, 1, k * k)
    weights = softmax(-((query[..., None] - key) ** 2) + prior)
    weights = np.repeat(weights, m.channels // m.groups, 1)
    return project((weights * windows(x, k, 1, stride)).sum(-1), m.out)


def outlook(m: Outlook, x: Array) -> Array:
    s, k = m.stride, m.kernel
    batch, channels, height, width = x.shape
    value = heads_of(windows(project(x, m.v), k, 1, s), m.heads)
    rows, columns = value.shape[3:5]
    pooled = np.empty((batch, channels, rows, columns))
    for p, q in np.ndindex(rows, columns):
        pooled[:, :, p, q] = x[:, :, p * s : p * s + s, q * s : q * s + s].mean((2, 3))
    weights = project(pooled, m.attn).reshape(batch, m.heads, k * k, k * k, rows, columns)
    weights = softmax(weights / np.sqrt(channels // m.heads), axis=3)
    mixed = np.einsum("nhstyx,nhcyxt->nhcsyx", weights, value).reshape(batch, channels, k * k, rows, columns)
    folded = np.zeros(x.shape)
    for p, q, i, j in np.ndindex(rows, columns, k, k):
        row, column = p * s + i - k // 2, q * s + j - k // 2
        if 0 <= row < height and 0 <= column < width:
            folded[:, :, row, column] += mixed[:, :, i * k + j, p, q]
    return project(folded, m.proj)


def involution(m: Involution, x: Array) -> Array:
    weights = project(np.maximum(project(x, m.reduce[0]), 0), m.span)
    weights = weights.reshape(len(x), m.groups, m.kernel**2, *x.shape[2:])
    weights = np.repeat(np.moveaxis(weights, 2, -1), m.channels // m.groups, 1)
    result: Array = (weights * windows(x, m.kernel)).sum(-1)
    return result


CASES: dict[str, tuple[Any, Any, int]] = {
    "stand-alone": (lambda: StandAlone(8, 3, heads=2), stand_alone, 8),
    "dilated": (lambda: StandAlone(8, 3, heads=2, dilation=2), lambda m, x: stand_alone(m, x, dilation=2), 8),
    "strided": (lambda: StandAlone(8, 5, heads=2, stride=2), lambda m, x: stand_alone(m, x, stride=2), 8),
    "einsum": (lambda: StandAloneEinsum(8, 3, heads=2), stand_alone, 8),
    "shifted": (lambda: StandAloneShifted(8, 5, heads=2), stand_alone, 8),
    "neighbourhood": (lambda: Neighbourhood(8, 3, heads=2), neighbourhood, 8),
    "neighbourhood dilated": (
        lambda: Neighbourhood(8, 3, heads=2, dilation=2),
        lambda m, x: neighbourhood(m, x, dilation=2),
        8,
    ),
    "per channel": (lambda: PerChannel(6, 3), per_channel, 6),
    "local relation": (lambda: LocalRelation(8, 3, share=4), local_relation, 8),
    "local relation strided": (
        lambda: LocalRelation(8, 3, share=4, stride=2),
        lambda m, x: local_relation(m, x, stride=2),
        8,
    ),
    "outlook": (lambda: Outlook(6, 3, heads=2), outlook, 6),
    "outlook strided": (lambda: Outlook(6, 3, heads=2, stride=2), outlook, 6),
    "involution": (lambda: Involution(8, 3, share=4), involution, 8),
}


@pytest.mark.parametrize("name", CASES)
def test_a_layer_is_its_formula(name: str) -> None:
    make, formula, channels = CASES[name]
    torch.manual_seed(1)
    module: LocalLayer = make().double()
    x = torch.randn(2, channels, 7, 6, dtype=torch.float64)
    with torch.no_grad():
        found = module(x).numpy()
    np.testing.assert_allclose(found, formula(module, x.numpy()), rtol=1e-11, atol=1e-11)


def test_the_suite_has_the_layers_that_the_bars_speak_of() -> None:
    names = [layer.name for layer in SUITE]
    assert len(names) == len(set(names)) >= 24
    for size in ("64x56x56", "128x28x28", "256x14x14"):
        for k in (3, 5, 7):
            assert f"dot-k{k}-{size}-b1" in names
    families = {(layer.family, layer.kernel) for layer in SUITE}
    assert {("per-channel", 3), ("per-channel", 7), ("lrnet", 7), ("dot-wide", 11), ("involution", 7)} <= families
    assert {"outlook", "outlook-strided", "dot-dilated", "dot-strided", "neighbourhood"} <= {f for f, _ in families}
    assert {layer.shape[0] for layer in SUITE} == {1, 8}


def test_layers_are_chosen_by_pattern_and_batch() -> None:
    assert [layer.name for layer in choose("DOT-K7-64x")] == ["dot-k7-64x56x56-b1"]
    assert {layer.shape[0] for layer in choose(batch=8)} == {8}
    assert choose() == SUITE
    assert choose("nothing") == ()


def test_a_layer_is_built_the_same_each_time() -> None:
    (first, x), (second, y) = SUITE[0].build(), SUITE[0].build()
    assert torch.equal(x, y)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("make", "kernel", "flops"),
    [
        # per pixel: three projections of 8x8; 9 taps of 8 channels, keys and values
        (lambda: StandAlone(8, 3, heads=2), 3, 2 * 2 * 36 * (3 * 64 + 2 * 9 * 8)),
        # strided: the query's projection and the taps at a quarter of the pixels
        (lambda: StandAlone(8, 3, heads=2, stride=2), 3, 2 * 2 * (36 * 2 * 64 + 9 * (64 + 2 * 9 * 8))),
        # 8 -> 2 groups twice, 8x8 out; 9 taps of 2 groups and of 8 channels; the prior at 9 places, once
        (lambda: LocalRelation(8, 3, share=4), 3, 2 * (2 * 36 * (2 * 16 + 64 + 9 * 10) + 9 * (2 * 16 + 16 * 2))),
        # v, proj 8x8; 162 predicted weights a pixel (2 heads); 81 products a channel
        (lambda: Outlook(8, 3, heads=2), 3, 2 * 2 * 36 * (2 * 64 + 8 * 162 + 81 * 8)),
    ],
)
def test_useful_flops_are_the_projections_and_the_taps(make: Any, kernel: int, flops: int) -> None:
    assert useful_flops(Layer("layer", kernel, (2, 8, 6, 6), make)) == flops
