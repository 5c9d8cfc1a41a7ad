"""Multi-head attention (Vaswani et al., 2017: "Attention Is All You Need", section 3.2.2).

For queries (N, L, C) and keys and values (N, S, ·), heads h of width d = C / heads::

    MultiHead(Q, K, V) = concat(head_1 .. head_n) W_o
    head_h = softmax(q_h k_h^T / sqrt(d) + bias_h) v_h,    q = Q W_q,  k = K W_k,  v = V W_v

A key that is hidden counts as a score of -inf. A query to which every key is hidden attends to nothing: its heads are
zeros, and its output is the bias of W_o. That is what ``scaled_dot_product_attention`` gives; ``nn.MultiheadAttention``
gives NaN there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .relative_bias import RelativeBias


class MultiHeadAttention(nn.Module):
    """Queries (N, L, channels), keys (N, S, key_channels), values (N, S, value_channels) -> (N, L, channels).

    ``causal`` hides key s from query l where s > l (section 3.2.3). ``relative`` gives a bias (heads, L, S) that is
    added to the scores. ``key_channels`` and ``value_channels`` are ``channels`` where they are None; ``bias`` is
    that of the four projections. Raises ValueError where ``heads`` does not divide ``channels``.
    """

    map_kind = "tokens"

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        key_channels: int | None = None,
        value_channels: int | None = None,
        bias: bool = True,
        causal: bool = False,
        relative: RelativeBias | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"{heads} heads do not divide {channels} channels")
        self.query = nn.Linear(channels, channels, bias)
        self.key = nn.Linear(key_channels or channels, channels, bias)
        self.value = nn.Linear(value_channels or channels, channels, bias)
        self.out = nn.Linear(channels, channels, bias)
        self.heads = heads
        self.causal = causal
        self.relative = relative

    def split(self, x: Tensor) -> Tensor:
        """(N, L, channels) -> (N, heads, L, d)."""
        split: Tensor = x.unflatten(2, (self.heads, -1))
        return split.transpose(1, 2)

    def mask(self, queries: int, keys: int, padding: Tensor | None, bias: Tensor | None) -> Tensor | None:
        """Everything that is hidden or added, as SDPA takes it: bool (true where seen) or floats, to (N, heads, L, S)."""
        if self.relative is not None:
            relative: Tensor = self.relative()
            bias = relative if bias is None else bias + relative
        seen = None if padding is None else ~padding[:, None, None, :]
        if self.causal:
            device = self.query.weight.device
            lower = torch.ones(queries, keys, dtype=torch.bool, device=device).tril()
            seen = lower if seen is None else seen & lower
        if bias is None or seen is None:
            return bias if seen is None else seen
        return torch.where(seen, bias, -math.inf)

    def weights(
        self, query: Tensor, key: Tensor | None = None, *, padding: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """What each query takes from each key: (N, heads, L, S), rows that sum to 1, or to 0 where all is hidden."""
        key = query if key is None else key
        q, k = self.split(self.query(query)), self.split(self.key(key))
        scores: Tensor = q @ k.transpose(2, 3) * q.shape[3] ** -0.5
        mask = self.mask(query.shape[1], key.shape[1], padding, bias)
        if mask is None:
            return scores.softmax(3)
        scores = torch.where(mask, scores, -math.inf) if mask.dtype == torch.bool else scores + mask
        empty = (scores == -math.inf).all(3, keepdim=True)
        return torch.where(empty, 0.0, scores.softmax(3))

    def attention_map(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        padding: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """The weights, (N, heads, L, S); ``value`` has no part in them."""
        return self.weights(query, key, padding=padding, bias=bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        padding: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Attend from ``query`` to ``key`` (itself where None) and take of ``value`` (``key`` where None).

        ``padding`` (N, S) of bool is true where a key is padding, and hides it. ``bias`` of floats, added to the
        scores, broadcasts to (N, heads, L, S); -inf in it hides a key.
        """
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = self.split(self.query(query)), self.split(self.key(key)), self.split(self.value(value))
        if self.causal and padding is None and bias is None and self.relative is None:
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = self.mask(query.shape[1], key.shape[1], padding, bias)
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        joined: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return joined
