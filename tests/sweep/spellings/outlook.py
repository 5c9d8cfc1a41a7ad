"""Outlook attention (Yuan et al., 2021: VOLO): every place predicts the K x K weights of its window, and windows are folded back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .. import reference
from ..case import Case
from .base import Spelling

OUTLOOK = ({"LocalOutlook": 1},)


class Outlook(Spelling):
    """(N, H, W, C), with weights for all windows: y = fold(softmax(A) unfold(V))."""

    WANTED = OUTLOOK
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"layout": ("last",), "contract": ("matmul", "einsum")}
    RANKS: ClassVar[tuple[int, ...]] = (2,)
    MOST_TAPS: ClassVar[int] = 9
    ZEROS_ONLY: ClassVar[bool] = True

    @classmethod
    def fits(cls, case: Case) -> bool:
        """Windows lie around every stride-th place, so that there is a place to predict from."""
        return set(case.geometry.dilation) == {1}

    def prepare(self) -> None:
        c = self.heads * self.width
        self.of_values = self.pointwise(c, c, bias=False)
        self.outlook = self.pointwise(c, self.heads * self.geometry.taps**2)

    def forward(self, x: Tensor) -> Tensor:
        g, h, d = self.geometry, self.heads, self.width
        n, high, wide, c = x.shape
        v = self.unfolded(self.of_values(x).permute(0, 3, 1, 2)).reshape(n, h, d, g.taps, -1).permute(0, 1, 4, 3, 2)
        a = self.outlook(self.centred(x, 1)).reshape(n, -1, h, g.taps, g.taps).permute(0, 2, 1, 3, 4)
        a = (a * d**-0.5).softmax(-1)
        y = a @ v if self.option["contract"] == "matmul" else torch.einsum("nhpst,nhptd->nhpsd", a, v)
        y = y.permute(0, 1, 4, 3, 2).reshape(n, c * g.taps, -1)
        folded = F.fold(y, (high, wide), g.kernel, padding=g.pads, stride=g.stride)
        return folded.permute(0, 2, 3, 1)

    def reference(self, x: np.ndarray) -> np.ndarray:
        first = self.channel_first(x)
        g = self.over(first)
        k = g.taps
        value = reference.padded(self.split(self.project(self.of_values, first)), g)
        windows = np.stack([value[(..., *place)] for place in reference.taps(g)], 3)
        predicted = self.project(self.outlook, first[(slice(None), slice(None), *g.centres)])
        weights = predicted.reshape(len(first), self.heads, k, k, *predicted.shape[2:]) * self.width**-0.5
        columns = np.einsum("nhst...,nhdt...->nhds...", reference.softmax(weights, 3), windows)
        folded = reference.fold(columns, g)
        return np.moveaxis(folded.reshape(len(first), -1, *g.sizes), 1, -1)
