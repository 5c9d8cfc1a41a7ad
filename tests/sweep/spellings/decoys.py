"""Modules that look like local attention and are something else. What they compute must survive, whatever they are taken for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .. import reference
from ..case import Case
from ..geometry import Geometry
from .base import Spelling


class Decoy(Spelling):
    """Attention over windows with one thing wrong, named by the option."""

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "wrong": (
            "value_windows",
            "softmax_places",
            "softmax_heads",
            "softmax_channels",
            "missing_tap",
            "swapped_taps",
            "doubled_tap",
            "flipped_values",
            "max_not_sum",
            "summed_window",
            "query_windows",
            "circular",
            "score_of_neighbour",
        )
    }
    MOST_TAPS: ClassVar[int] = 27

    @classmethod
    def fits(cls, case: Case) -> bool:
        """Values' windows may be others only where they are as many; a circle is one window per place."""
        wrong, g = case.chosen["wrong"], case.geometry
        if wrong in ("value_windows", "circular"):
            return g.same and set(g.dilation) == {1} and not g.edge and all(k % 2 for k in g.kernel)
        return wrong != "score_of_neighbour" or g.counts[-1] > 1

    def prepare(self) -> None:
        c = self.heads * self.width
        self.key = self.pointwise(c, c)

    @property
    def kept(self) -> list[int]:
        """The taps, in the order in which they are stacked."""
        order = list(range(self.geometry.taps))
        if self.option["wrong"] == "missing_tap":
            del order[len(order) // 2]
        if self.option["wrong"] == "swapped_taps":
            order[0], order[-1] = order[-1], order[0]
        if self.option["wrong"] == "doubled_tap":
            order[-1] = order[0]
        return order

    @property
    def others(self) -> Geometry:
        """The values' windows: those of the keys, or twice as wide."""
        g = self.geometry
        if self.option["wrong"] != "value_windows":
            return g
        return Geometry(
            g.sizes, g.kernel, tuple(2 * d for d in g.dilation), g.stride, tuple(2 * p for p in g.pads), g.edge
        )

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, *S) -> (N, H, D, K, *Q)."""
        if self.option["wrong"] == "circular":
            axes = tuple(range(2, 2 + self.rank))
            shifts = [tuple(p - t for p, t in zip(self.geometry.pads, tap, strict=True)) for tap in self._taps()]
            stacked = torch.stack([torch.roll(x, shift, axes) for shift in shifts], 2)
        else:
            shifted = self.shifted(self.pad(x), 2)
            stacked = torch.stack([shifted[t] for t in self.kept], 2)
        return stacked.unflatten(1, (self.heads, self.width))

    def _taps(self) -> list[tuple[int, ...]]:
        return [tuple(map(int, tap)) for tap in np.ndindex(*self.geometry.kernel)]

    def value_windows(self, x: Tensor) -> Tensor:
        """The values' windows, which may be others."""
        if self.option["wrong"] != "value_windows":
            return self.windows(x)
        geometry, self.geometry = self.geometry, self.others
        try:
            return self.windows(x)
        finally:
            self.geometry = geometry

    def forward(self, x: Tensor) -> Tensor:
        wrong = self.option["wrong"]
        q = self.centred(x, 2).unflatten(1, (self.heads, self.width)).unsqueeze(3)
        k = self.windows(self.key(x))
        if wrong == "query_windows":
            q = self.windows(x)
        scores = (q * k).sum(3 if wrong == "summed_window" else 2)
        if wrong == "score_of_neighbour":
            scores = torch.cat((scores[..., 1:], scores[..., :1]), -1)
        axis = {"softmax_places": -1, "softmax_heads": 1}.get(wrong, 2)
        weights = scores.softmax(axis)
        v = self.value_windows(x)
        if wrong == "flipped_values":
            v = v.flip(3)
        if wrong == "summed_window":  # the weights are by channel
            return (weights.unsqueeze(3) * v).sum(3).flatten(1, 2)
        terms = weights.unsqueeze(2) * v
        y = terms.amax(3) if wrong == "max_not_sum" else terms.sum(3)
        return y.flatten(1, 2)

    def reference_windows(self, x: np.ndarray, g: Geometry) -> np.ndarray:
        """(N, C, *S) -> (N, H, D, K, *Q)."""
        if self.option["wrong"] == "circular":
            wide = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in g.pads)], mode="wrap")
        else:
            wide = reference.padded(x, g)
        seen = [wide[(..., *place)] for place in reference.taps(g)]
        return self.split(np.stack([seen[t] for t in self.kept], -1)).transpose(0, 1, 2, -1, *range(3, 3 + g.rank))

    def reference(self, x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        wrong, g = self.option["wrong"], self.over(x)
        q = self.split(x[(slice(None), slice(None), *g.centres)])[:, :, :, None]
        k = self.reference_windows(self.project(self.key, x), g)
        if wrong == "query_windows":
            q = self.reference_windows(x, g)
        scores = (q * k).sum(3 if wrong == "summed_window" else 2)
        if wrong == "score_of_neighbour":
            scores = np.roll(scores, -1, -1)
        weights = reference.softmax(scores, {"softmax_places": -1, "softmax_heads": 1}.get(wrong, 2))
        v = self.reference_windows(x, self.others.at(g.sizes))
        if wrong == "flipped_values":
            v = v[:, :, :, ::-1]
        terms = weights[:, :, :, None] * v if wrong == "summed_window" else weights[:, :, None] * v
        y = terms.max(3) if wrong == "max_not_sum" else terms.sum(3)
        return y.reshape(y.shape[0], -1, *y.shape[3:])


class Gathered(Spelling):
    """Attention of every place to K random others: neighbourhoods, but no windows."""

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"neighbours": ("random", "nearly")}
    RANKS: ClassVar[tuple[int, ...]] = (1, 2)
    MOST_TAPS: ClassVar[int] = 25

    @classmethod
    def fits(cls, case: Case) -> bool:
        """The places are numbers, so the sizes must be."""
        return case.dynamic != "all" and case.geometry.same

    def prepare(self) -> None:
        g = self.geometry
        places = np.arange(np.prod(g.sizes)).reshape(g.sizes)
        wide = np.pad(places, [(p, p) for p in g.pads], mode="edge")
        near = np.stack([wide[place].ravel() for place in reference.taps(g)], -1)
        if self.option["neighbours"] == "random":
            near = np.random.default_rng(self.case.seed).integers(0, places.size, near.shape)
        else:  # windows but for one place of one of them
            near[-1, 0] = (near[-1, 0] + 1) % places.size
        self.register_buffer("near", torch.from_numpy(near))

    near: Tensor

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2).unflatten(1, (self.heads, self.width))
        windows = flat[:, :, :, self.near]
        weights = (flat.unsqueeze(-1) * windows).sum(2).softmax(-1)
        return (weights.unsqueeze(2) * windows).sum(-1).reshape(x.shape)

    def reference(self, x: np.ndarray) -> np.ndarray:
        flat = self.split(x.astype(np.float64).reshape(*x.shape[:2], -1))
        windows = flat[..., self.near.numpy()]
        weights = reference.softmax(np.einsum("nhdp,nhdpk->nhpk", flat, windows), -1)
        return np.einsum("nhpk,nhdpk->nhdp", weights, windows).reshape(x.shape)


class Halo(Spelling):
    """Blocked attention (Vaswani et al., 2021: HaloNet): the queries of a block share one window around the block."""

    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {"block": ("2", "3")}
    RANKS: ClassVar[tuple[int, ...]] = (2,)
    MOST_TAPS: ClassVar[int] = 9
    ZEROS_ONLY: ClassVar[bool] = True

    @classmethod
    def fits(cls, case: Case) -> bool:
        """The kernel's padding is the halo; blocks divide the image."""
        g, block = case.geometry, int(case.chosen["block"])
        whole = all(size % block == 0 for size in g.sizes)
        return g.same and case.dynamic != "all" and whole and set(g.dilation) == {1} and all(k % 2 for k in g.kernel)

    def forward(self, x: Tensor) -> Tensor:
        block, (high, wide) = int(self.option["block"]), self.geometry.sizes
        rows, columns = high // block, wide // block
        n, (h, d) = x.shape[0], (self.heads, self.width)
        q = x.reshape(n, h, d, rows, block, columns, block).permute(0, 1, 3, 5, 4, 6, 2).flatten(4, 5)
        k = self.pad(x)
        for axis, pad in ((2, self.geometry.pads[0]), (3, self.geometry.pads[1])):
            k = k.unfold(axis, block + 2 * pad, block)
        k = k.flatten(4).unflatten(1, (h, d)).permute(0, 1, 3, 4, 5, 2)
        y = (q @ k.transpose(-1, -2)).softmax(-1) @ k
        return y.unflatten(4, (block, block)).permute(0, 1, 6, 2, 4, 3, 5).reshape(x.shape)

    def reference(self, x: np.ndarray) -> np.ndarray:
        block, (up, left) = int(self.option["block"]), self.geometry.pads
        first = self.split(x.astype(np.float64))
        wide = np.pad(first, [(0, 0)] * 3 + [(up, up), (left, left)])
        y = np.empty_like(first)
        for i in range(0, first.shape[3], block):
            for j in range(0, first.shape[4], block):
                seen = wide[..., i : i + block + 2 * up, j : j + block + 2 * left].reshape(*first.shape[:3], -1)
                scores = np.einsum("nhdyx,nhdk->nhkyx", first[..., i : i + block, j : j + block], seen)
                y[..., i : i + block, j : j + block] = np.einsum("nhkyx,nhdk->nhdyx", reference.softmax(scores), seen)
        return y.reshape(x.shape)
