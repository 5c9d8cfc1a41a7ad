"""Non-local block (Wang, Girshick, Gupta, He, 2018: "Non-local Neural Networks", arXiv:1711.07971).

For x with N places i, j in one dimension (a sequence), two (an image) or three (a clip), equations 1 and 6::

    y_i = 1/C(x) * sum over j of f(x_i, x_j) g(x_j)
    z_i = BN(W_z y_i) + x_i

``pairwise`` names f (section 3.2), with theta, phi and g 1x1 convolutions to ``width`` channels:

    gaussian        exp(x_i . x_j)                        C = sum over j of f: a softmax
    embedded        exp(theta(x_i) . phi(x_j))            the same
    dot             theta(x_i) . phi(x_j)                 C = N
    concatenation   ReLU(w . [theta(x_i); phi(x_j)])      C = N

``subsample`` puts a max-pooling by 2 behind phi and g (section 3.3; behind x itself for gaussian), in space and not in
time: the places j become fewer, those of the output do not. BN's scale starts at zero (section 4.1), so that a new
block returns its input and can be put into a trained network; ``zero_init=False`` leaves it at one.
"""

from __future__ import annotations

from torch import Tensor, nn

PAIRWISE = ("gaussian", "embedded", "dot", "concatenation")

_CONV: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def _subsampling(dimensions: int) -> nn.Module:
    if dimensions == 1:
        return nn.MaxPool1d(2)
    return nn.MaxPool2d(2) if dimensions == 2 else nn.MaxPool3d((1, 2, 2))


class NonLocal(nn.Module):
    """(N, channels, *sizes) -> the same, one size per dimension.

    ``width`` is half the channels where it is None (section 3.3); ``gaussian`` compares x itself and uses it for g
    alone. Raises ValueError for an unknown ``pairwise``, for other than 1, 2 or 3 ``dimensions``, and for a width
    below 1.
    """

    map_kind = "tokens"

    def __init__(
        self,
        channels: int,
        *,
        dimensions: int = 2,
        pairwise: str = "embedded",
        width: int | None = None,
        subsample: bool = False,
        zero_init: bool = True,
    ) -> None:
        super().__init__()
        if pairwise not in PAIRWISE:
            raise ValueError(f"pairwise {pairwise!r} is not one of {', '.join(PAIRWISE)}")
        if dimensions not in _CONV:
            raise ValueError(f"{dimensions} dimensions are not 1, 2 or 3")
        width = channels // 2 if width is None else width
        if width < 1:
            raise ValueError(f"width {width} is not positive")
        conv = _CONV[dimensions]
        self.pairwise = pairwise
        self.theta = nn.Identity() if pairwise == "gaussian" else conv(channels, width, 1)
        self.phi = nn.Identity() if pairwise == "gaussian" else conv(channels, width, 1)
        self.g = conv(channels, width, 1)
        self.pool = _subsampling(dimensions) if subsample else nn.Identity()
        if pairwise == "concatenation":
            self.concat = nn.Linear(2 * width, 1, bias=False)
        self.out = conv(width, channels, 1)
        self.norm = _NORM[dimensions](channels)
        if zero_init:
            nn.init.zeros_(self.norm.get_parameter("weight"))

    def weights(self, x: Tensor) -> Tensor:
        """f(x_i, x_j) / C(x): (N, places i, places j)."""
        theta: Tensor = self.theta(x).flatten(2).transpose(1, 2)
        phi: Tensor = self.pool(self.phi(x)).flatten(2)
        if self.pairwise == "concatenation":
            # w . [a; b] is w_a . a + w_b . b: the pairs need not be concatenated one by one.
            own, other = self.concat.weight.chunk(2, dim=1)
            pairs = (theta @ own.transpose(0, 1) + other @ phi).relu()
        else:
            pairs = theta @ phi
        if self.pairwise in ("gaussian", "embedded"):
            return pairs.softmax(2)
        return pairs / pairs.shape[2]

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights, (N, places i, places j), in row-major order."""
        return self.weights(x)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` and what its places take from each other."""
        values = self.pool(self.g(x)).flatten(2).transpose(1, 2)
        mixed = (self.weights(x) @ values).transpose(1, 2).unflatten(2, x.shape[2:])
        joined: Tensor = self.norm(self.out(mixed)) + x
        return joined
