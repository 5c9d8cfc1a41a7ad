"""Local attention with channels first: heads in any place, windows in three spellings, contracted in three."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .. import reference
from ..case import Case
from .base import ATTENTION
from .terms import TERMS, Terms, term_fits

MIDDLE, END = 3, -1
"""Where the window axis is in (N, H, D, K, *places) and in (N, H, D, *places, K)."""


class ChannelsFirst(Terms):
    """softmax(scale * q.(k + r) + bias) v over (N, C, *S)."""

    WANTED = ATTENTION
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "windows": ("fold", "slid", "stacked"),
        "contract": ("mul_sum", "einsum", "matmul"),
        "heads": ("before", "after", "merged"),
        "places": ("flat", "grid"),
        "padding": ("own", "pad"),
        "term": TERMS,
        "scale": ("none", "query", "scores", "division"),
        "projections": ("none", "separate", "fused"),
    }

    @classmethod
    def fits(cls, case: Case) -> bool:
        """F.unfold is of planes; a matmul has its places flat; heads in the batch have no weights of their own."""
        o = case.chosen
        per_head = o["term"] in ("bias", "relative", "halves", "separate")
        return (
            term_fits(case)
            and not (o["windows"] == "fold" and case.geometry.rank != 2)
            and not (o["padding"] == "own" and o["windows"] != "fold")
            and not (o["contract"] == "matmul" and o["places"] == "grid")
            and not (o["heads"] == "merged" and per_head)
        )

    def prepare(self) -> None:
        c = self.heads * self.width
        if self.option["projections"] == "fused":
            self.qkv = self.pointwise(c, 3 * c)
        elif self.option["projections"] == "separate":
            self.query, self.key, self.value_of = (self.pointwise(c, c, bias) for bias in (True, False, True))
        self.scale = 1.0 if self.option["scale"] == "none" else self.width**-0.5
        self.prepare_terms()

    def operands(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value images."""
        if self.option["projections"] == "fused":
            query, key, value = self.qkv(x).chunk(3, -1 if self.case.last else 1)
            return query, key, value
        if self.option["projections"] == "separate":
            return self.query(x), self.key(x), self.value_of(x)
        return x, x, x

    def windows(self, x: Tensor, sizes: torch.Size) -> Tensor:
        """(M, C, *S) -> (M, C, K, *places), or (M, C, *places, K) of Tensor.unfold."""
        grid = self.option["places"] == "grid"
        if self.option["windows"] == "fold":
            windows = self.unfolded(x, self.option["padding"] == "own")
            places = sizes if grid else (-1,)
            return windows.reshape(x.shape[0], x.shape[1], self.geometry.taps, *places)
        if self.option["windows"] == "stacked":
            windows = torch.stack(self.shifted(self.pad(x), 2), 2)
            return windows if grid else windows.flatten(3)
        windows = self.slid(self.pad(x), 2).flatten(2 + self.rank)
        return windows if grid else windows.flatten(2, 1 + self.rank)

    def by_head(self, x: Tensor, sizes: torch.Size) -> Tensor:
        """Windows as (N, H, D, ...); with heads in the batch (N * H, 1, D, ...)."""
        n = x.shape[0]
        if self.option["heads"] == "after":
            return self.windows(x, sizes).unflatten(1, (self.heads, self.width))
        windows = self.windows(x.reshape(n * self.heads, self.width, *x.shape[2:]), sizes)
        if self.option["heads"] == "merged":
            return windows.unsqueeze(1)
        return windows.reshape(n, self.heads, self.width, *windows.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.operands(x)
        q = self.centred(q, 2)
        sizes = q.shape[2:]
        heads = (x.shape[0] * self.heads, 1) if self.option["heads"] == "merged" else (x.shape[0], self.heads)
        q = q.reshape(*heads, self.width, *(sizes if self.option["places"] == "grid" else (-1,)))
        if self.option["scale"] == "query":
            q = q * self.scale
        k, v = self.by_head(k, sizes), self.by_head(v, sizes)
        at = END if self.option["windows"] == "slid" else MIDDLE
        if self.added_to_keys:
            k = k + self.along(self.relative(), k.ndim, at)
        scores = self.scores(q, k, at)
        if self.option["term"] == "separate":
            scores = scores + self.position(q, at)
        if self.option["scale"] in ("scores", "division"):
            scores = scores * self.scale if self.option["scale"] == "scores" else scores / self.width**0.5
        if self.option["term"] == "bias":
            scores = scores + self.along(self.bias, scores.ndim, at)
        if self.option["term"].endswith("mask"):
            mask = self.mask_windows(x[:, 0]).unsqueeze(1)
            mask = mask if self.option["places"] == "grid" else mask.flatten(3)
            scores = scores + (mask.movedim(2, -1) if at == END else mask)
        weights = scores.softmax(-1 if at == END else 2)
        return self.attended(weights, v, at).reshape(x.shape[0], -1, *sizes)

    def along(self, weight: Tensor, ndim: int, at: int) -> Tensor:
        """A weight (..., K) by head made to broadcast with windows or scores of ``ndim`` axes."""
        ones = [1] * (ndim - weight.ndim - 1)
        if at == END:
            return weight.reshape(1, *weight.shape[:-1], *ones, weight.shape[-1])
        return weight.reshape(1, *weight.shape, *ones)

    def scores(self, q: Tensor, k: Tensor, at: int) -> Tensor:
        """The dot products: (N, H, K, *places) or (N, H, *places, K)."""
        if self.option["contract"] == "mul_sum":
            return (q.unsqueeze(at) * k).sum(2)
        if self.option["contract"] == "einsum":
            return torch.einsum("nhd...,nhd...k->nh...k" if at == END else "nhd...,nhdk...->nhk...", q, k)
        row = q.transpose(2, 3).unsqueeze(3)
        if at == END:
            return (row @ k.transpose(2, 3)).squeeze(3)
        return (row @ k.permute(0, 1, 4, 2, 3)).squeeze(3).transpose(2, 3)

    def position(self, q: Tensor, at: int) -> Tensor:
        """q.r by itself."""
        return torch.einsum("nhd...,hdk->nh...k" if at == END else "nhd...,hdk->nhk...", q, self.relative())

    def attended(self, weights: Tensor, v: Tensor, at: int) -> Tensor:
        """(N, H, D, *places)."""
        if self.option["contract"] == "mul_sum":
            return (weights.unsqueeze(2) * v).sum(at)
        if self.option["contract"] == "einsum":
            return torch.einsum("nh...k,nhd...k->nhd..." if at == END else "nhk...,nhdk...->nhd...", weights, v)
        if at == END:
            return (weights.unsqueeze(3) @ v.permute(0, 1, 3, 4, 2)).squeeze(3).transpose(2, 3)
        row = weights.transpose(2, 3).unsqueeze(3)
        return (row @ v.permute(0, 1, 4, 3, 2)).squeeze(3).transpose(2, 3)

    def reference_operands(self, x: np.ndarray) -> list[np.ndarray]:
        """Query, key and value as (N, H, D, *S) in FP64, the query at its places."""
        first = self.channel_first(x)
        if self.option["projections"] == "fused":
            images = np.split(self.project(self.qkv, first), 3, 1)
        elif self.option["projections"] == "separate":
            images = [self.project(layer, first) for layer in (self.query, self.key, self.value_of)]
        else:
            images = [first, first, first]
        images[0] = images[0][(slice(None), slice(None), *self.geometry.centres)]
        return [self.split(image) for image in images]

    def reference(self, x: np.ndarray) -> np.ndarray:
        query, key, value = self.reference_operands(x)
        scores = self.reference_scores(query, key, self.scale)
        attended = reference.aggregate(reference.softmax(scores), value, self.geometry.at(key.shape[3:]))
        merged = attended.reshape(attended.shape[0], -1, *attended.shape[3:])
        return np.moveaxis(merged, 1, -1) if self.case.last else merged
