"""Local attention with channels last, as NAT-like code without its kernels is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ..case import Case
from .first import ChannelsFirst
from .terms import TERMS, term_fits


class ChannelsLast(ChannelsFirst):
    """The same over (N, *S, C). Windows are (N, *Q, H, D, K) of Tensor.unfold, (N, *Q, K, H, D) of slices, (N, L, H, K, D) of F.unfold."""

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "layout": ("last",),
        "windows": ("fold", "slid", "stacked"),
        "contract": ("mul_sum", "einsum", "matmul"),
        "heads": ("before", "after"),
        "term": TERMS,
        "scale": ("none", "query", "scores", "division"),
        "projections": ("none", "separate", "fused"),
    }

    @classmethod
    def fits(cls, case: Case) -> bool:
        """F.unfold is of planes and takes no heads."""
        fold = case.chosen["windows"] == "fold"
        return term_fits(case) and not (fold and (case.geometry.rank != 2 or case.chosen["heads"] == "before"))

    def by_head(self, x: Tensor, sizes: torch.Size) -> Tensor:
        n = x.shape[0]
        if self.option["windows"] == "fold":
            windows = self.unfolded(x.movedim(-1, 1))
            return windows.reshape(n, self.heads, self.width, self.geometry.taps, -1).permute(0, 4, 1, 3, 2)
        x = self.pad_last(x)
        split = (self.heads, self.width)
        if self.option["heads"] == "before":
            x = x.unflatten(-1, split)
        if self.option["windows"] == "slid":
            windows = self.slid(x, 1).flatten(-self.rank)
            return windows if self.option["heads"] == "before" else windows.unflatten(-2, split)
        windows = torch.stack(self.shifted(x, 1), 1 + self.rank)
        return windows if self.option["heads"] == "before" else windows.unflatten(-1, split)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.operands(x)
        q = self.centred(q, 1)
        sizes = q.shape[1:-1]
        places = (-1,) if self.option["windows"] == "fold" else sizes
        q = q.reshape(x.shape[0], *places, self.heads, self.width)
        if self.option["scale"] == "query":
            q = q * self.scale
        k, v = self.by_head(k, sizes), self.by_head(v, sizes)
        if self.added_to_keys:
            k = k + self.relative().permute(self._order())
        scores = self._scores(q, k)
        if self.option["term"] == "separate":
            scores = scores + self._turned(torch.einsum("...hd,hdk->...hk", q, self.relative()))
        if self.option["scale"] in ("scores", "division"):
            scores = scores * self.scale if self.option["scale"] == "scores" else scores / self.width**0.5
        if self.option["term"] == "bias":
            scores = scores + self._turned(self.bias)
        if self.option["term"].endswith("mask"):
            mask = self.mask_windows(x[..., 0]).movedim(1, -1)
            mask = mask.flatten(1, -2) if self.option["windows"] == "fold" else mask
            scores = scores + self._turned(mask.unsqueeze(-2))
        attended = self._attended(scores.softmax(-2 if self._window_before_heads else -1), v)
        return attended.reshape(x.shape[0], *sizes, -1)

    @property
    def _window_before_heads(self) -> bool:
        """Scores (..., K, H): sums of products over stacked slices leave the axes as they were stacked."""
        return self.option["windows"] == "stacked" and self.option["contract"] == "mul_sum"

    def _turned(self, term: Tensor) -> Tensor:
        return term.transpose(-1, -2) if self._window_before_heads else term

    def _order(self) -> tuple[int, int, int]:
        return {"slid": (0, 1, 2), "stacked": (2, 0, 1), "fold": (0, 2, 1)}[self.option["windows"]]

    def _scores(self, q: Tensor, k: Tensor) -> Tensor:
        how, windows = self.option["contract"], self.option["windows"]
        if how == "mul_sum":
            if windows == "slid":
                return (q.unsqueeze(-1) * k).sum(-2)
            return (q.unsqueeze(-3 if windows == "stacked" else -2) * k).sum(-1)
        if how == "einsum":
            axes = {"slid": "hdk", "stacked": "khd", "fold": "hkd"}[windows]
            return torch.einsum(f"...hd,...{axes}->...hk", q, k)
        columns = {"slid": k, "stacked": k.movedim(-3, -1), "fold": k.transpose(-1, -2)}[windows]
        return (q.unsqueeze(-2) @ columns).squeeze(-2)

    def _attended(self, weights: Tensor, v: Tensor) -> Tensor:
        how, windows = self.option["contract"], self.option["windows"]
        if how == "mul_sum":
            if windows == "slid":
                return (weights.unsqueeze(-2) * v).sum(-1)
            return (weights.unsqueeze(-1) * v).sum(-3 if windows == "stacked" else -2)
        if how == "einsum":
            axes = {"slid": "hdk", "stacked": "khd", "fold": "hkd"}[windows]
            return torch.einsum(f"...hk,...{axes}->...hd", weights, v)
        rows = {"slid": v.transpose(-1, -2), "stacked": v.movedim(-3, -2), "fold": v}[windows]
        return (weights.unsqueeze(-2) @ rows).squeeze(-2)
