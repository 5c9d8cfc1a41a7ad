"""What all spellings share: seeded weights, projections, and the torch vocabulary of windows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import reference
from ..case import DTYPES, Case
from ..geometry import Geometry, Ints

ATTENTION = ({"LocalAttention": 1}, {"LocalCorrelation": 1, "LocalAggregate": 1})
CORRELATION = ({"LocalCorrelation": 1},)
AGGREGATE = ({"LocalAggregate": 1},)


class Mixed(nn.Linear):
    """A Linear over axis 1."""

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.weight @ x.flatten(2)
        return (mixed if self.bias is None else mixed + self.bias[:, None]).unflatten(2, x.shape[2:])


class Spelling(nn.Module):
    """A module of one input, and the same formula in NumPy.

    ``WANTED``: the operators that recognising it may give, any one of them; empty for what is not local attention.
    ``CHOICES``: the options and their values. Subclasses define ``forward`` and ``reference``.
    """

    WANTED: ClassVar[tuple[Mapping[str, int], ...]] = ()
    CHOICES: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    RANKS: ClassVar[Ints] = (1, 2, 3)
    MOST_TAPS: ClassVar[int] = 169
    ZEROS_ONLY: ClassVar[bool] = False
    """Whether edge padding has no meaning here."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        self.geometry = case.geometry
        self.rank = case.geometry.rank
        self.heads, self.width = case.heads, case.width
        self.option = case.chosen
        self._random = torch.Generator().manual_seed(case.seed)
        self.prepare()
        self.eval().to(DTYPES[case.dtype])

    @classmethod
    def fits(cls, case: Case) -> bool:
        """Whether the case means something in this spelling, beyond what CHOICES and RANKS say."""
        return True

    def prepare(self) -> None:
        """Make the weights."""

    def reference(self, x: np.ndarray) -> np.ndarray:
        """The formula in FP64; ``x`` may be larger or smaller than the case's sizes."""
        raise NotImplementedError

    def random(self, *shape: int, gain: float = 1.0) -> nn.Parameter:
        """A seeded weight."""
        return nn.Parameter(torch.randn(shape, generator=self._random) * gain)

    def pointwise(self, given: int, made: int, bias: bool = True) -> nn.Module:
        """A seeded 1x1 convolution, or a Linear where channels are last; ONNX Runtime has no convolution of doubles."""
        layer: nn.Module
        if self.case.last:
            layer = nn.Linear(given, made, bias=bias)
        elif self.case.dtype == "float64":
            layer = Mixed(given, made, bias=bias)
        else:
            kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[self.rank - 1]
            layer = kind(given, made, 1, bias=bias)
        for parameter in layer.parameters():
            values = torch.randn(parameter.shape, generator=self._random)
            parameter.data = values * (given**-0.5 if parameter.ndim > 1 else 0.1)
        return layer

    # The NumPy side.

    def value(self, weight: Tensor) -> np.ndarray:
        """A weight as FP64."""
        return weight.detach().double().numpy()

    def project(self, layer: Any, x: np.ndarray) -> np.ndarray:
        """What :meth:`pointwise` computes, channel-first."""
        return reference.pointwise(x, self.value(layer.weight), None if layer.bias is None else self.value(layer.bias))

    def channel_first(self, x: np.ndarray) -> np.ndarray:
        """The input in FP64 with its channels in front."""
        return np.moveaxis(x, -1, 1).astype(np.float64) if self.case.last else x.astype(np.float64)

    def split(self, x: np.ndarray) -> np.ndarray:
        """(N, H * D, *S) -> (N, H, D, *S)."""
        return x.reshape(x.shape[0], self.heads, -1, *x.shape[2:])

    def over(self, x: np.ndarray) -> Geometry:
        """The windows over this channel-first input."""
        return self.geometry.at(x.shape[2:])

    # The torch side.

    def centred(self, x: Tensor, first: int) -> Tensor:
        """The queries' places of ``x``, whose space axes begin at ``first``."""
        if self.geometry.same:
            return x
        return x[(slice(None),) * first + self.geometry.centres]

    def pad(self, x: Tensor, value: float = 0.0) -> Tensor:
        """(N, C, *S) with its last axes padded."""
        if not any(self.geometry.pads):
            return x
        widths = [width for pad in reversed(self.geometry.pads) for width in (pad, pad)]
        return F.pad(x, widths, mode="replicate") if self.geometry.edge else F.pad(x, widths, value=value)

    def pad_last(self, x: Tensor) -> Tensor:
        """(N, *S, C) with its space axes padded."""
        if self.geometry.edge:
            return self.pad(x.movedim(-1, 1)).movedim(1, -1)
        return F.pad(x, [0, 0, *(width for pad in reversed(self.geometry.pads) for width in (pad, pad))])

    def unfolded(self, x: Tensor, own_padding: bool = True) -> Tensor:
        """F.unfold: (N, C, H, W) -> (N, C * K, L), padded by itself or before."""
        g = self.geometry
        if own_padding and not g.edge:
            return F.unfold(x, g.kernel, dilation=g.dilation, padding=g.pads, stride=g.stride)
        return F.unfold(self.pad(x), g.kernel, dilation=g.dilation, stride=g.stride)

    def slid(self, x: Tensor, first: int) -> Tensor:
        """Tensor.unfold along each space axis from ``first`` on, of what is padded already: the window axes come last."""
        g = self.geometry
        for axis, (reach, step) in enumerate(zip(g.reach, g.stride, strict=True)):
            x = x.unfold(first + axis, reach, step)
        if set(g.dilation) != {1}:
            x = x[(..., *(slice(None, None, d) for d in g.dilation))]
        return x

    def shifted(self, x: Tensor, first: int) -> list[Tensor]:
        """One strided slice per tap, of what is padded already, space axes from ``first`` on."""
        g = self.geometry
        found = []
        for tap in itertools.product(*map(range, g.kernel)):
            place = []
            for axis, (t, d, reach, step) in enumerate(zip(tap, g.dilation, g.reach, g.stride, strict=True)):
                place.append(slice(t * d, x.shape[first + axis] - (reach - 1 - t * d), step))
            found.append(x[(slice(None),) * first + tuple(place)])
        return found
