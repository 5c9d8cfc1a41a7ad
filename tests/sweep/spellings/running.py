"""Attention without an unfolded tensor: one product per shift, a softmax over what they give, one product per shift again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .. import reference
from .base import ATTENTION, Spelling


class Running(Spelling):
    """The loop that people write when the unfolded tensor does not fit: scores stacked or concatenated, values summed as they come."""

    WANTED = ATTENTION
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "gathered": ("stack", "cat"),
        "bias": ("none", "tap", "all"),
        "total": ("running", "sum_of_list"),
    }
    MOST_TAPS: ClassVar[int] = 27

    def prepare(self) -> None:
        c = self.heads * self.width
        self.key = self.pointwise(c, c, bias=False)
        if self.option["bias"] != "none":
            self.bias = self.random(self.heads, self.geometry.taps)

    def forward(self, x: Tensor) -> Tensor:
        split = (self.heads, self.width)
        q = self.centred(x, 2).unflatten(1, split) * self.width**-0.5
        keys = self.shifted(self.pad(self.key(x)).unflatten(1, split), 3)
        values = self.shifted(self.pad(x).unflatten(1, split), 3)
        scores = [(q * key).sum(2) for key in keys]
        ones = [1] * self.rank
        if self.option["bias"] == "tap":
            scores = [s + self.bias[:, t].reshape(-1, *ones) for t, s in enumerate(scores)]
        together = (
            torch.stack(scores, 2)
            if self.option["gathered"] == "stack"
            else torch.cat([s.unsqueeze(2) for s in scores], 2)
        )
        if self.option["bias"] == "all":
            together = together + self.bias.reshape(self.heads, -1, *ones)
        weights = together.softmax(2)
        if self.option["total"] == "sum_of_list":
            return torch.stack([weights[:, :, t, None] * v for t, v in enumerate(values)]).sum(0).flatten(1, 2)
        total = weights[:, :, :1] * values[0]
        for t, value in enumerate(values[1:], 1):
            total = total + weights[:, :, t : t + 1] * value
        return total.flatten(1, 2)

    def reference(self, x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        g = self.over(x)
        query = self.split(x[(slice(None), slice(None), *g.centres)]) * self.width**-0.5
        scores = reference.correlate(query, self.split(self.project(self.key, x)), g)
        if self.option["bias"] != "none":
            scores = scores + self.value(self.bias).reshape(1, self.heads, -1, *[1] * g.rank)
        y = reference.aggregate(reference.softmax(scores), self.split(x), g)
        return y.reshape(y.shape[0], -1, *y.shape[3:])
