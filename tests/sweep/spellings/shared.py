"""Attention by channel: one weight per channel, or shared by m channels as in local relation networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .. import reference
from ..case import Case
from .base import ATTENTION, Spelling


class SharedByChannels(Spelling):
    """softmax over the window of phi(q, k) + prior, ``heads`` groups with one scalar query and key each, ``width`` channels share it."""

    WANTED = ATTENTION
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "windows": ("fold", "slid", "stacked"),
        "phi": ("product", "squared", "absolute"),
        "prior": ("none", "bias"),
        "difference": ("query_first", "key_first"),
    }

    @classmethod
    def fits(cls, case: Case) -> bool:
        """F.unfold is of planes; a product has no order."""
        o = case.chosen
        return not (o["windows"] == "fold" and case.geometry.rank != 2) and not (
            o["phi"] == "product" and o["difference"] == "key_first"
        )

    def prepare(self) -> None:
        c = self.heads * self.width
        self.query, self.key = self.pointwise(c, self.heads), self.pointwise(c, self.heads)
        if self.option["prior"] == "bias":
            self.prior = self.random(self.heads, self.geometry.taps)

    def windows(self, x: Tensor, sizes: torch.Size) -> Tensor:
        """(N, C, *S) -> (N, C, *Q, K)."""
        if self.option["windows"] == "fold":
            return self.unfolded(x).reshape(*x.shape[:2], self.geometry.taps, *sizes).movedim(2, -1)
        if self.option["windows"] == "stacked":
            return torch.stack(self.shifted(self.pad(x), 2), -1)
        return self.slid(self.pad(x), 2).flatten(-self.rank)

    def forward(self, x: Tensor) -> Tensor:
        query = self.centred(self.query(x), 2)
        sizes = query.shape[2:]
        q, k = query.unsqueeze(-1), self.windows(self.key(x), sizes)
        if self.option["phi"] == "product":
            scores = q * k
        else:
            difference = q - k if self.option["difference"] == "query_first" else k - q
            scores = -(difference**2) if self.option["phi"] == "squared" else -difference.abs()
        if self.option["prior"] == "bias":
            scores = scores + self.prior.reshape(self.heads, *[1] * self.rank, -1)
        values = self.windows(x, sizes).unflatten(1, (self.heads, self.width))
        return (scores.softmax(-1).unsqueeze(2) * values).sum(-1).flatten(1, 2)

    def reference(self, x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        g = self.over(x)
        query = self.project(self.query, x)[(slice(None), slice(None), *g.centres)]
        scores = reference.correlate(query[:, :, None], self.project(self.key, x)[:, :, None], g, self.option["phi"])
        scores = scores if self.option["phi"] == "product" else -scores
        if self.option["prior"] == "bias":
            scores = scores + self.value(self.prior).reshape(1, self.heads, -1, *[1] * g.rank)
        y = reference.aggregate(reference.softmax(scores), self.split(x), g)
        return y.reshape(y.shape[0], -1, *y.shape[3:])
