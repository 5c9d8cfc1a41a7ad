"""Scores alone: the cost volumes of stereo and optical flow, grouped or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .. import reference
from ..case import Case
from .base import CORRELATION, Spelling


class CostVolume(Spelling):
    """(N, C, *S) -> (N, H * K, *Q): two feature images of x compared at every displacement of the window."""

    WANTED = CORRELATION
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "windows": ("fold", "slid", "stacked", "shifts"),
        "phi": ("product", "squared", "absolute"),
        "over": ("sum", "mean"),
    }
    MOST_TAPS: ClassVar[int] = 81

    @classmethod
    def fits(cls, case: Case) -> bool:
        """F.unfold is of planes."""
        return not (case.chosen["windows"] == "fold" and case.geometry.rank != 2)

    def prepare(self) -> None:
        c = self.heads * self.width
        self.left, self.right = self.pointwise(c, c), self.pointwise(c, c)

    def compared(self, left: Tensor, right: Tensor) -> Tensor:
        """Per channel."""
        if self.option["phi"] == "product":
            return left * right
        return (left - right) ** 2 if self.option["phi"] == "squared" else (left - right).abs()

    def over_channels(self, terms: Tensor) -> Tensor:
        """Over axis 2, the channels of a group."""
        return terms.mean(2) if self.option["over"] == "mean" else terms.sum(2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.centred(self.left(x), 2), self.right(x)
        sizes, split = left.shape[2:], (self.heads, self.width)
        left = left.unflatten(1, split)
        if self.option["windows"] == "shifts":
            shifts = (shift.unflatten(1, split) for shift in self.shifted(self.pad(right), 2))
            return torch.stack([self.over_channels(self.compared(left, s)) for s in shifts], 2).flatten(1, 2)
        if self.option["windows"] == "fold":
            windows = self.unfolded(right).reshape(x.shape[0], *split, self.geometry.taps, *sizes)
        elif self.option["windows"] == "stacked":
            windows = torch.stack(self.shifted(self.pad(right), 2), 2).unflatten(1, split)
        else:
            windows = self.slid(self.pad(right), 2).flatten(-self.rank).movedim(-1, 2).unflatten(1, split)
        return self.over_channels(self.compared(left.unsqueeze(3), windows)).flatten(1, 2)

    def reference(self, x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        g = self.over(x)
        left = self.project(self.left, x)[(slice(None), slice(None), *g.centres)]
        scores = reference.correlate(self.split(left), self.split(self.project(self.right, x)), g, self.option["phi"])
        if self.option["over"] == "mean":
            scores = scores / self.width
        return scores.reshape(scores.shape[0], -1, *scores.shape[3:])
