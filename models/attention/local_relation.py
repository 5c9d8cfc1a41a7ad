"""Local relation layer (Hu, Zhang, Xie, Lin, 2019: "Local Relation Networks for Image Recognition").

For a pixel p' and every p in the k x k window around it::

    w(p', p) = softmax over p of (Phi(q_p', k_p) + g(p - p'))
    y_p'     = W (sum over p of w(p', p) x_p)

q and k are 1x1 convolutions with one scalar per m channels, and those m channels share the weights w. Phi, the
appearance composability, is ``squared`` -(q - k)^2, ``absolute`` -|q - k| or ``product`` q * k. The geometry prior g
is a network of two layers with a ReLU between over the relative position. The input itself is aggregated, and W is a
1x1 convolution. Outside the image x and k are zero, and those places still take their share of the softmax.

A widespread re-implementation differs in four options: ``composability="product"``,
``geometry=Geometry(groups // 2, "random")`` (positions are drawn once from [-1, 1), not offsets) and ``bias=True`` in W.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COMPOSABILITIES = ("squared", "absolute", "product")
POSITIONS = ("offsets", "random")


@dataclass(frozen=True)
class Geometry:
    """The geometry prior: the width of its first layer (the number of groups if it is None), and its positions."""

    hidden: int | None = None
    positions: str = "offsets"


class GeometryPrior(nn.Module):
    """g: the relative positions of a k x k window -> (groups, k, k).

    Positions are (row, column) offsets in pixels, whole numbers, so that they are the same in every floating dtype; or
    random numbers, which are then part of the state dict. Raises ValueError for unknown positions.
    """

    offsets: Tensor

    def __init__(self, groups: int, kernel_size: int, geometry: Geometry) -> None:
        super().__init__()
        positions, hidden = geometry.positions, geometry.hidden or groups
        if positions not in POSITIONS:
            raise ValueError(f"positions {positions!r} is not one of {', '.join(POSITIONS)}")
        radius = kernel_size // 2
        steps = torch.arange(-radius, radius + 1, dtype=torch.get_default_dtype())
        offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
        drawn = positions == "random"
        self.register_buffer("offsets", 2 * torch.rand_like(offsets) - 1 if drawn else offsets, persistent=drawn)
        self.hidden = nn.Linear(2, hidden)
        self.out = nn.Linear(hidden, groups)

    def forward(self) -> Tensor:
        """The prior, the same for every pixel."""
        prior: Tensor = self.out(self.hidden(self.offsets).relu())
        return prior.permute(2, 0, 1)


class LocalRelation(nn.Module):
    """(N, in_channels, H, W) -> (N, out_channels, H', W'), H' = ceil(H / stride).

    ``share`` is m and divides ``in_channels``; ``kernel_size`` is k, odd. Raises ValueError otherwise, and for an unknown
    ``composability`` or unknown positions.
    """

    map_kind = "window"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 7,
        share: int = 8,
        stride: int = 1,
        composability: str = "squared",
        geometry: Geometry = Geometry(),
        bias: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel size {kernel_size} is not odd")
        if share < 1 or in_channels % share:
            raise ValueError(f"{share} channels to a weight do not divide {in_channels} channels")
        if stride < 1:
            raise ValueError(f"stride {stride} is not positive")
        if composability not in COMPOSABILITIES:
            raise ValueError(f"composability {composability!r} is not one of {', '.join(COMPOSABILITIES)}")
        self.kernel_size = kernel_size
        self.share = share
        self.stride = stride
        self.composability = composability
        groups = in_channels // share
        self.query = nn.Conv2d(in_channels, groups, 1, stride=stride)
        self.key = nn.Conv2d(in_channels, groups, 1)
        self.geometry = GeometryPrior(groups, kernel_size, geometry)
        self.out = nn.Conv2d(in_channels, out_channels, 1, bias=bias)

    def windows(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H', W', k*k): the window around every query's pixel, zeros outside."""
        padded = F.pad(x, [self.kernel_size // 2] * 4)
        return padded.unfold(2, self.kernel_size, self.stride).unfold(3, self.kernel_size, self.stride).flatten(4)

    def appearance(self, query: Tensor, key: Tensor) -> Tensor:
        """Phi, element by element."""
        if self.composability == "squared":
            return -((query - key) ** 2)
        if self.composability == "absolute":
            return -(query - key).abs()
        return query * key

    def weights(self, x: Tensor) -> Tensor:
        """w: what each place takes from each pixel of its window, (N, groups, H', W', k*k)."""
        query = self.query(x).unsqueeze(4)
        prior = self.geometry().flatten(1)[:, None, None, :]
        scores: Tensor = self.appearance(query, self.windows(self.key(x))) + prior
        return scores.softmax(4)

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights, (N, groups, k*k, H', W')."""
        return self.weights(x).movedim(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Aggregate the window around each pixel of ``x`` by what composes with it."""
        shared = self.windows(x).unflatten(1, (-1, self.share))
        aggregated: Tensor = self.out((self.weights(x).unsqueeze(2) * shared).sum(5).flatten(1, 2))
        return aggregated
