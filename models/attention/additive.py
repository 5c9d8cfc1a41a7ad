"""Additive attention (Bahdanau, Cho, Bengio, 2015: "Neural Machine Translation by Jointly Learning to Align and Translate").

For a query s (N, Q) and a memory h_1 .. h_S (N, S, M), section 3.1 and appendix A.1.2::

    e_j = v_a . tanh(W_a s + U_a h_j)
    alpha = softmax over j of e
    c = sum over j of alpha_j h_j                             context (N, M)

There are no biases. U_a h_j does not depend on the query: :meth:`AdditiveAttention.keys` computes it once per memory.
Padding gets no weight; a memory of nothing but padding gives a context of zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def visible_softmax(scores: Tensor, hidden: Tensor | None) -> Tensor:
    """Softmax over the last axis among the places where ``hidden`` (bool, of the same shape) is False, 0 elsewhere.

    Finite, with finite gradients, where every place is hidden too.
    """
    if hidden is None:
        return scores.softmax(-1)
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(hidden, lowest).softmax(-1).masked_fill(hidden, 0.0)


class AdditiveAttention(nn.Module):
    """Query (N, query_width), memory (N, S, memory_width) -> context (N, memory_width), weights (N, S).

    ``width`` is the length of v_a, n' in the paper.
    """

    def __init__(self, query_width: int, memory_width: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(query_width, width, bias=False)
        self.key = nn.Linear(memory_width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """U_a h_j for every place: (N, S, memory_width) -> (N, S, width)."""
        keys: Tensor = self.key(memory)
        return keys

    def forward(
        self, query: Tensor, memory: Tensor, *, padding: Tensor | None = None, keys: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attend to ``memory``, except where ``padding`` (N, S), bool, is True. ``keys``: those of the memory, if known."""
        if keys is None:
            keys = self.keys(memory)
        scores = self.score((self.query(query).unsqueeze(1) + keys).tanh()).squeeze(2)
        weights = visible_softmax(scores, padding)
        return (weights.unsqueeze(1) @ memory).squeeze(1), weights
