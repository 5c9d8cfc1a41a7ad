"""Squeeze and excitation (Hu, Shen, Albanie, Sun, Wu, 2018: "Squeeze-and-Excitation Networks", arXiv:1709.01507).

For U (N, C, H, W), section 3, equations 2 to 4::

    z = mean over H, W of U                     (N, C)             squeeze
    s = sigmoid(W2 ReLU(W1 z))                  (N, C)             excite; W1: C -> C/r, W2: C/r -> C
    X = s * U                                   (N, C, H, W)       scale

The equations have no biases, and section 5 finds that ResNets learn better without them; the authors' Caffe models and
most published weights have them (``bias=True``).
"""

from __future__ import annotations

from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """(N, C, H, W) -> (N, C, H, W). ``reduction`` is r. Raises ValueError where r does not divide C."""

    map_kind = "gate"

    def __init__(self, channels: int, *, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        if reduction < 1 or channels % reduction:
            raise ValueError(f"reduction {reduction} does not divide {channels} channels")
        hidden = channels // reduction
        self.reduce = nn.Linear(channels, hidden, bias=bias)
        self.expand = nn.Linear(hidden, channels, bias=bias)

    def scale(self, x: Tensor) -> Tensor:
        """s: the weight in (0, 1) of each channel of ``x``, (N, C, 1, 1)."""
        logits: Tensor = self.expand(self.reduce(x.mean((2, 3))).relu())
        return logits.sigmoid()[:, :, None, None]

    def attention_map(self, x: Tensor) -> Tensor:
        """s: (N, C, 1, 1), what ``x`` is multiplied by."""
        return self.scale(x)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with its channels weighed."""
        return x * self.scale(x)
