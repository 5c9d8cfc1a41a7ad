"""Self-attention with one head (Vaswani et al., 2017: "Attention Is All You Need", section 3.2.1, equation 1).

For tokens x (N, L, C)::

    y = softmax(q k^T / sqrt(d)) v,    q = x W_q,  k = x W_k  of width d,   v = x W_v

Texts that introduce self-attention often leave out the factor 1/sqrt(d): ``scaled=False``. Without it the scores'
variance grows with d, and the softmax saturates (the paper's footnote 4).
"""

from __future__ import annotations

from torch import Tensor, nn


class SelfAttention(nn.Module):
    """(N, L, channels) -> (N, L, value_channels).

    ``key_channels`` is d; it and ``value_channels`` are ``channels`` where they are None. The three projections have
    no bias unless ``bias``. Raises ValueError for a width below 1.
    """

    map_kind = "tokens"

    def __init__(
        self,
        channels: int,
        *,
        key_channels: int | None = None,
        value_channels: int | None = None,
        bias: bool = False,
        scaled: bool = True,
    ) -> None:
        super().__init__()
        key_channels = channels if key_channels is None else key_channels
        value_channels = channels if value_channels is None else value_channels
        for name, width in (("key", key_channels), ("value", value_channels)):
            if width < 1:
                raise ValueError(f"{width} {name} channels are fewer than 1")
        self.query = nn.Linear(channels, key_channels, bias)
        self.key = nn.Linear(channels, key_channels, bias)
        self.value = nn.Linear(channels, value_channels, bias)
        self.scale = key_channels**-0.5 if scaled else 1.0

    def weights(self, x: Tensor) -> Tensor:
        """What each token takes from each: (N, L, L), rows that sum to 1."""
        scores: Tensor = self.query(x) @ self.key(x).transpose(1, 2)
        return (scores * self.scale).softmax(2)

    def attention_map(self, x: Tensor) -> Tensor:
        """The weights, (N, L, L)."""
        return self.weights(x)

    def forward(self, x: Tensor) -> Tensor:
        """Every token's mixture of the values."""
        mixed: Tensor = self.weights(x) @ self.value(x)
        return mixed
