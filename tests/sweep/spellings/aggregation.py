"""Weights that are predicted, not compared: involution (Li et al., 2021) and kernels normalised by a softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .. import reference
from ..case import Case
from .base import AGGREGATE, Spelling


class Predicted(Spelling):
    """y[g, m] = sum over taps of w[g] x[g, m], w a 1x1 convolution of x with ``heads`` * K channels, as it is or normalised."""

    WANTED = AGGREGATE
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "windows": ("fold", "slid", "stacked", "running"),
        "weights": ("plain", "softmax", "sigmoid"),
        "contract": ("mul_sum", "einsum"),
    }
    MOST_TAPS: ClassVar[int] = 49

    @classmethod
    def fits(cls, case: Case) -> bool:
        """F.unfold is of planes; a running sum is contracted as it runs."""
        o = case.chosen
        return not (o["windows"] == "fold" and case.geometry.rank != 2) and not (
            o["windows"] == "running" and o["contract"] == "einsum"
        )

    def prepare(self) -> None:
        c = self.heads * self.width
        self.reduce, self.span = (
            self.pointwise(c, max(1, c // 2)),
            self.pointwise(max(1, c // 2), self.heads * self.geometry.taps),
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.span(self.reduce(self.centred(x, 2)).relu())
        sizes = weights.shape[2:]
        weights = weights.unflatten(1, (self.heads, self.geometry.taps))
        if self.option["weights"] != "plain":
            weights = weights.softmax(2) if self.option["weights"] == "softmax" else weights.sigmoid()
        split = (self.heads, self.width)
        if self.option["windows"] == "running":
            total = torch.zeros((), dtype=x.dtype)
            for tap, shift in enumerate(self.shifted(self.pad(x), 2)):
                total = total + weights[:, :, tap, None] * shift.unflatten(1, split)
            return total.flatten(1, 2)
        if self.option["windows"] == "fold":
            windows = self.unfolded(x).reshape(x.shape[0], *split, self.geometry.taps, *sizes)
        elif self.option["windows"] == "stacked":
            windows = torch.stack(self.shifted(self.pad(x).unflatten(1, split), 3), 3)
        else:
            windows = self.slid(self.pad(x), 2).flatten(-self.rank).movedim(-1, 2).unflatten(1, split)
        if self.option["contract"] == "einsum":
            return torch.einsum("nhk...,nhdk...->nhd...", weights, windows).flatten(1, 2)
        return (weights.unsqueeze(2) * windows).sum(3).flatten(1, 2)

    def reference(self, x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        g = self.over(x)
        hidden = np.maximum(self.project(self.reduce, x[(slice(None), slice(None), *g.centres)]), 0.0)
        weights = self.split(self.project(self.span, hidden))
        if self.option["weights"] == "softmax":
            weights = reference.softmax(weights)
        elif self.option["weights"] == "sigmoid":
            weights = 1.0 / (1.0 + np.exp(-weights))
        y = reference.aggregate(weights, self.split(x), g)
        return y.reshape(y.shape[0], -1, *y.shape[3:])
