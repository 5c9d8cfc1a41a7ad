"""What is added to the scores or to the keys: relative biases, relative embeddings, masks of the padding."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import reference
from ..case import Case
from .base import Spelling

TERMS = ("none", "bias", "relative", "halves", "separate", "mask", "unfolded_mask", "padded_mask")


def term_fits(case: Case) -> bool:
    """Masks are of zero padding; halves are of a plane; a constant mask has the sizes written into it."""
    g, term = case.geometry, case.chosen["term"]
    masks = term.endswith("mask")
    return (
        not (masks and (g.edge or not any(g.pads)))
        and not (term == "mask" and case.dynamic == "all")
        and not (term == "halves" and (g.rank != 2 or case.width % 2))
    )


class Terms(Spelling):
    """Scores with one of the terms. ``mask`` is a constant, so the sizes must be; the others follow the sizes."""

    mask: Tensor

    def prepare_terms(self) -> None:
        """Make the weights of the chosen term."""
        g, term = self.geometry, self.option["term"]
        if term == "bias":
            self.bias = self.random(self.heads, g.taps)
        elif term in ("relative", "separate"):
            self.embedding = self.random(self.heads, self.width, g.taps)
        elif term == "halves":
            self.rows = self.random(self.heads, self.width // 2, g.kernel[0])
            self.columns = self.random(self.heads, self.width // 2, g.kernel[1])
        elif term == "mask":
            self.register_buffer("mask", torch.where(torch.from_numpy(reference.inside(g)), 0.0, -torch.inf))

    @property
    def added_to_keys(self) -> bool:
        """Whether the term is a vector added to each key of the window."""
        return self.option["term"] in ("relative", "halves")

    def relative(self) -> Tensor:
        """(H, D, K), what is added to the keys or multiplied with the query by itself."""
        if self.option["term"] != "halves":
            return self.embedding
        high, wide = self.geometry.kernel
        rows = self.rows[:, :, :, None].expand(-1, -1, high, wide)
        columns = self.columns[:, :, None, :].expand(-1, -1, high, wide)
        return torch.cat((rows, columns), 1).flatten(2)

    def mask_windows(self, image: Tensor) -> Tensor:
        """(1, K, *Q) of 0 and -inf, for an image (N, *S) of any values: unfolded ones, or a padding of -inf unfolded."""
        if self.option["term"] == "mask":
            return self.mask[None]
        blank = torch.zeros_like(image[:1])[:, None]
        if self.option["term"] == "padded_mask":
            return self.slid(self.pad(blank, -torch.inf)[:, 0], 1).flatten(1 + self.rank).movedim(-1, 1)
        if self.rank == 2:
            ones = self.unfolded(blank + 1).reshape(1, self.geometry.taps, *self.centred(image, 1).shape[1:])
        else:
            ones = torch.stack(self.shifted(self.pad(blank + 1)[:, 0], 1), 1)
        return torch.zeros_like(ones).masked_fill(ones == 0, -torch.inf)

    def reference_scores(self, query: np.ndarray, key: np.ndarray, scale: float) -> np.ndarray:
        """scale * q.(k + r) + bias, or -inf where the term masks."""
        geometry = self.geometry.at(key.shape[3:])
        term = self.option["term"]
        relative = self.value(self.relative()) if term in ("relative", "halves", "separate") else None
        scores = scale * reference.correlate(query, key, geometry, relative=relative)
        if term == "bias":
            scores = scores + self.value(self.bias).reshape(1, self.heads, -1, *[1] * self.rank)
        if term.endswith("mask"):
            scores = np.where(reference.inside(geometry), scores, -np.inf)
        return scores
