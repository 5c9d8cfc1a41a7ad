"""Steps that move, choose, sort and count, and steps with loops; see :mod:`.torch_steps`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .torch_steps import Draw, Step, _need


def movement(d: Draw) -> Step:
    axis = d.axis()
    n = d.shape[axis]
    order = [0, *(int(i) + 1 for i in d.rng.permutation(d.rank - 1))]
    step, start = d.one([1, 2]), d.one([0, -n, min(1, n - 1)])
    where = tuple([slice(None)] * (axis % d.rank) + [slice(start, None, step)])
    shift = d.one([1, -1, 2])
    index = torch.from_numpy(d.rng.integers(0, n, 3))
    found = [
        Step("permute", lambda x: x.permute(order), lambda x: x.transpose(order)),
        Step("slice", lambda x: x[where], lambda x: x[where]),
        Step("roll", lambda x: torch.roll(x, shift, axis), lambda x: np.roll(x, shift, axis)),
        Step("flip", lambda x: x.flip(axis), lambda x: np.flip(x, axis)),
        Step(
            "index_select",
            lambda x, i: x.index_select(axis, i.index),
            lambda x: np.take(x, index.numpy(), axis),
            _Index(index),
        ),
        Step("flatten", lambda x: x.flatten(1), lambda x: x.reshape(x.shape[0], -1)),
        Step("repeat_interleave", lambda x: x.repeat_interleave(2, axis), lambda x: np.repeat(x, 2, axis)),
        Step("cat", lambda x: torch.cat([x, x.neg()], axis), lambda x: np.concatenate([x, -x], axis)),
        Step(
            "stack", lambda x: torch.stack([x, x * 2], axis).sum(axis), lambda x: np.stack([x, x * 2], axis).sum(axis)
        ),
        Step("movedim", lambda x: x.movedim(axis, 1), lambda x: np.moveaxis(x, axis, 1)),
        Step("chunk", lambda x: x.chunk(2, axis)[0], None),
        Step("unflatten", lambda x: x.unsqueeze(-1).expand(*x.shape, 2).flatten(-2), None),
        Step("tril", lambda x: x.tril(shift), None) if d.rank > 2 else Step("neg", torch.neg, np.negative),
    ]
    if d.rank == 4:
        h, w = d.shape[2:]
        mode = d.one(["constant", "reflect", "replicate", "circular"])
        pads = [d.one([0, 1]), d.one([0, 1]), d.one([0, 1]), d.one([0, 1])]
        _need(min(h, w) > 1)
        found += [Step(f"pad {mode}", lambda x: F.pad(x, pads, mode))]
        found += [Step("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2))] if h % 2 == w % 2 == 0 else []
        found += [Step("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2))] if d.shape[1] % 4 == 0 else []
        found += [Step("channel_shuffle", lambda x: F.channel_shuffle(x, 2))] if d.shape[1] % 2 == 0 else []
    return d.one(found)


class _Index(nn.Module):
    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index)


def reduce(d: Draw) -> Step:
    axis, keep = d.axis(), d.one([True, True, False])
    return d.one([
        Step("mean", lambda x: x.mean(axis, keepdim=keep), lambda x: x.mean(axis, keepdims=keep)),
        Step("sum", lambda x: x.sum(axis, keepdim=keep), lambda x: x.sum(axis, keepdims=keep)),
        Step("amax", lambda x: x.amax(axis, keepdim=keep), lambda x: x.max(axis, keepdims=keep)),
        Step("std", lambda x: (torch.cat([x, x + 1], axis)).std(axis, keepdim=keep), None),
        Step("var", lambda x: x.var(axis, unbiased=False, keepdim=keep), lambda x: x.var(axis, keepdims=keep)),
        Step("logsumexp", lambda x: x.logsumexp(axis, keepdim=keep), None),
        Step("norm", lambda x: (x + 0.1).norm(p=2, dim=axis, keepdim=keep), None),
        Step("cumsum", lambda x: x.cumsum(axis), lambda x: np.cumsum(x, axis)),
        Step("prod", lambda x: x.tanh().prod(axis, keepdim=keep), lambda x: np.tanh(x).prod(axis, keepdims=keep)),
        Step("max", lambda x: x.max(axis, keepdim=keep).values, lambda x: x.max(axis, keepdims=keep)),
        Step("median", lambda x: x.median(axis, keepdim=keep).values, None),
        Step("cummax", lambda x: x.cummax(axis).values, lambda x: np.maximum.accumulate(x, axis)),
    ])  # fmt: skip


def choose(d: Draw) -> Step:
    """Integers and booleans: arg-max, sorting, top-k, comparisons, one-hot, gather and scatter."""
    axis, limit = d.axis(), float(d.rng.normal())
    n = d.shape[axis]
    k = d.one([1, min(2, n)])

    def scattered(x: Tensor) -> Tensor:
        index = x.argsort(axis)
        return torch.zeros_like(x).scatter(axis, index, x * 2)

    def masked(x: Tensor) -> Tensor:
        return x.masked_fill(x > limit, limit)

    return d.one([
        Step("argmax", lambda x: x.argmax(axis), lambda x: x.argmax(axis)),
        Step("argsort", lambda x: x.argsort(axis), lambda x: np.argsort(x, axis)),
        Step("sort", lambda x: x.sort(axis).values, lambda x: np.sort(x, axis)),
        Step("sort down", lambda x: x.sort(axis, descending=True).values, lambda x: -np.sort(-x, axis)),
        Step("topk", lambda x: x.topk(k, axis).values, None),
        Step("topk indices", lambda x: x.topk(k, axis, largest=False).indices, None),
        Step("where", lambda x: torch.where(x > limit, x, -x), lambda x: np.where(x > limit, x, -x)),
        Step("masked_fill", masked, lambda x: np.where(x > limit, limit, x)),
        Step("compare", lambda x: (x > limit) | (x < -limit), lambda x: (x > limit) | (x < -limit)),
        Step("one_hot", lambda x: F.one_hot(x.argmax(axis), n), None),
        Step("gather", lambda x: x.gather(axis, x.argsort(axis)), lambda x: np.sort(x, axis)),
        Step("scatter", scattered, None),
        Step("to int", lambda x: (x * 3).to(torch.int64), lambda x: np.trunc(x * 3).astype(np.int64)),
        Step("int and back", lambda x: ((x * 5).long() // 2).to(x.dtype), lambda x: np.floor_divide(np.trunc(x * 5), 2)),
        Step("int remainder", lambda x: ((x * 5).long() % 3).to(x.dtype), lambda x: np.mod(np.trunc(x * 5), 3)),
        Step("bucketize", lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 0.5], dtype=x.dtype)), None),
        Step("count", lambda x: (x > limit).sum(axis), lambda x: (x > limit).sum(axis)),
        Step("any", lambda x: (x > limit).any(axis), lambda x: (x > limit).any(axis)),
        Step("embedding", lambda x, m: F.embedding(x.argmax(axis), m[0]), None, nn.ParameterList([d.weight(n, 3)])),
    ])  # fmt: skip


def loop(d: Draw) -> Step:
    """Loops as they are written by hand: over shifts, over rows, over steps."""
    axis = d.axis()
    n = d.shape[axis]

    def rows(x: Tensor, m: nn.ParameterList) -> Tensor:
        state, found = torch.zeros_like(x.select(axis, 0)), []
        for i in range(n):
            state = torch.tanh(state * m[0][0] + x.select(axis, i))
            found.append(state)
        return torch.stack(found, axis)

    def rows_numpy(x: np.ndarray, factor: float) -> np.ndarray:
        state, found = np.zeros_like(np.take(x, 0, axis)), []
        for i in range(n):
            state = np.tanh(state * factor + np.take(x, i, axis))
            found.append(state)
        return np.stack(found, axis)

    def shifts(x: Tensor) -> Tensor:
        return sum((torch.roll(x, i, axis) * (i + 1) for i in range(3)), torch.zeros_like(x))

    def steps(x: Tensor, m: nn.ParameterList) -> Tensor:
        for _ in range(3):
            x = x + 0.3 * torch.tanh(x @ m[0])
        return x

    factor = d.weight(1)
    return d.one([
        Step("recurrence", rows, lambda x: rows_numpy(x, float(factor)), nn.ParameterList([factor])),
        Step("shifts", shifts, lambda x: sum(np.roll(x, i, axis) * (i + 1) for i in range(3))),
        Step("steps", steps, None, nn.ParameterList([d.weight(d.shape[-1], d.shape[-1])])),
    ])  # fmt: skip


def recurrent(d: Draw) -> Step:
    _need(d.rank == 3)
    kind: Any = d.one([nn.LSTM, nn.GRU, nn.RNN])
    layer = kind(d.shape[-1], 3, batch_first=True, bidirectional=d.one([True, False]), num_layers=d.one([1, 1, 2]))
    return Step(kind.__name__, lambda x, m: m(x)[0], None, layer)


def in_place(d: Draw) -> Step:
    """Writes into a copy by slices and masks."""
    axis = d.axis()

    def by_slice(x: Tensor) -> Tensor:
        y = x.clone()
        y.select(axis, 0).mul_(2)
        y[..., -1] = 0.5
        return y

    def by_mask(x: Tensor) -> Tensor:
        y = x.clone()
        y[y < 0] = 0.25
        return y

    def by_index(x: Tensor) -> Tensor:
        return x.index_add(axis, torch.tensor([0, 0]), torch.ones_like(x.narrow(axis, 0, 1)).repeat_interleave(2, axis))

    return d.one([Step("write a slice", by_slice), Step("write a mask", by_mask), Step("index_add", by_index)])


def product(d: Draw) -> Step:
    axis = -1
    return d.one([
        Step("gram", lambda x: x @ x.transpose(-1, -2) / x.shape[axis] if x.dim() > 2 else x * x, None),
        Step("einsum", lambda x: torch.einsum("b...i,b...i->b...", x, x), lambda x: np.einsum("b...i,b...i->b...", x, x)),
        Step("outer", lambda x: x.unsqueeze(-1) * x.unsqueeze(-2), lambda x: x[..., None] * x[..., None, :]) if d.rank < 4
        else Step("mul", lambda x: x * x.mean((2, 3), keepdim=True), lambda x: x * x.mean((2, 3), keepdims=True)),
        Step("cdist", lambda x: torch.cdist(x, x + 0.1), None) if d.rank == 3
        else Step("add", lambda x: x + x.amax(-1, keepdim=True), None),
        Step("cosine", lambda x: F.cosine_similarity(x, x.flip(-1) + 0.1, dim=-1), None),
    ])  # fmt: skip
