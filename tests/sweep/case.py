"""One case of the sweep: a spelling, its options and its geometry. ``repr`` is the constructor call that makes it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from attnexport.runtime.spec import Axis, TensorSpec

from .geometry import Geometry, Ints

DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Case:
    """``heads`` of ``width`` channels each; ``dynamic`` is '', 'batch' or 'all' (batch and every space axis)."""

    spelling: str
    options: tuple[tuple[str, str], ...]
    geometry: Geometry
    batch: int
    heads: int
    width: int
    dtype: str
    dynamic: str
    seed: int

    @property
    def channels(self) -> int:
        """Channels of the input."""
        return self.heads * self.width

    @property
    def chosen(self) -> Mapping[str, str]:
        """The spelling's options by name."""
        return dict(self.options)

    @property
    def last(self) -> bool:
        """Whether the input has its channels last."""
        return self.chosen.get("layout") == "last"

    def shape(self, batch: int, sizes: Ints) -> Ints:
        """The input's shape."""
        return (batch, *sizes, self.channels) if self.last else (batch, self.channels, *sizes)

    def spec(self, name: str) -> TensorSpec:
        """The input as the exporter is told of it."""
        batch = Axis(1, self.batch, 64, f"batch_{name}") if self.dynamic else Axis.fixed(self.batch)
        sizes = self.geometry.sizes
        if self.dynamic == "all":
            low = self.smallest
            space = tuple(Axis(a, s, 64, f"size_{i}_{name}") for i, (a, s) in enumerate(zip(low, sizes, strict=True)))
        else:
            space = tuple(Axis.fixed(s) for s in sizes)
        channels = Axis.fixed(self.channels)
        return TensorSpec(name, self.dtype, (batch, *space, channels) if self.last else (batch, channels, *space))

    @property
    def smallest(self) -> Ints:
        """The least sizes that hold two windows: torch.export cannot tell one from a broadcast."""
        axes = zip(self.geometry.reach, self.geometry.pads, strict=True)
        return tuple(max(2, reach - 2 * pad + 1) for reach, pad in axes)

    def trials(self) -> list[tuple[int, Ints]]:
        """Batch and sizes to compare at: those of the case, and where axes are free some others."""
        sizes = self.geometry.sizes
        found = [(self.batch, sizes)]
        if self.dynamic:
            found.append((self.batch + 1, sizes))
        if self.dynamic == "all":
            found += [(1, tuple(s + 1 + i for i, s in enumerate(sizes))), (1, self.smallest)]
        return found

    def feed(self, batch: int, sizes: Ints) -> np.ndarray:
        """A random input in the case's dtype."""
        rng = np.random.default_rng([self.seed, batch, *sizes])
        return rng.standard_normal(self.shape(batch, sizes)).astype(self.dtype)
