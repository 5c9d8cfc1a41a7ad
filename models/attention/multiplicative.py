"""Luong's attention (Luong, Pham, Manning, 2015: "Effective Approaches to Attention-based Neural Machine Translation").

For a query h_t (N, Q) and a memory h_1 .. h_S (N, S, M), section 3.1, the score of place s is one of::

    dot       h_t . h_s
    general   h_t . W_a h_s
    concat    v_a . tanh(W_a [h_t; h_s])                      W_a as two matrices: W_q h_t + W_k h_s

and section 3.2 says among which places the softmax is taken, D being ``reach``::

    global    all of them
    local_m   |s - p| <= D with p = t, the target's position (monotonic)
    local_p   |s - p| <= D with p = S sigmoid(v_p . tanh(W_p h_t)); the softmax is then weighted by
              exp(-(s - p)^2 / (2 sigma^2)), sigma = D/2, and not normalised again

    context = sum over s of a_s h_s                           (N, M)

Places count from 0 and S is the number of those that are no padding, which lies at the end. The paper leaves open
where local_m looks once t has passed the source's end: here p stays at the last place. What a score needs of the memory
alone, :meth:`MultiplicativeAttention.keys` computes once. Padding gets no weight; a memory of nothing but padding
gives a context of zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .additive import visible_softmax

SCORES = ("dot", "general", "concat")
WINDOWS = ("global", "local_m", "local_p")


class MultiplicativeAttention(nn.Module):
    """Query (N, query_width), memory (N, S, memory_width) -> context (N, memory_width), weights (N, S).

    ``width``: the length of v_a (concat) and of v_p (local_p), ``query_width`` where it is None. Raises ValueError for
    an unknown score or window, for ``dot`` between different widths, and for a reach below 1.
    """

    def __init__(
        self,
        query_width: int,
        memory_width: int,
        *,
        score: str = "general",
        window: str = "global",
        reach: int = 10,
        width: int | None = None,
    ) -> None:
        super().__init__()
        if score not in SCORES:
            raise ValueError(f"score {score!r} is not one of {', '.join(SCORES)}")
        if window not in WINDOWS:
            raise ValueError(f"window {window!r} is not one of {', '.join(WINDOWS)}")
        if score == "dot" and query_width != memory_width:
            raise ValueError(f"score 'dot' takes equal widths, not {query_width} and {memory_width}")
        if reach < 1:
            raise ValueError(f"reach {reach} is below 1")
        width = query_width if width is None else width
        self.window, self.reach = window, reach
        self.query: nn.Module = nn.Identity()
        self.key: nn.Module = nn.Identity()
        self.score: nn.Module | None = None
        if score == "general":
            self.key = nn.Linear(memory_width, query_width, bias=False)
        if score == "concat":
            self.query = nn.Linear(query_width, width, bias=False)
            self.key = nn.Linear(memory_width, width, bias=False)
            self.score = nn.Linear(width, 1, bias=False)
        if window == "local_p":
            self.centre = nn.Sequential(
                nn.Linear(query_width, width, bias=False), nn.Tanh(), nn.Linear(width, 1, bias=False)
            )

    def keys(self, memory: Tensor) -> Tensor:
        """What the score takes of every place: (N, S, memory_width) -> (N, S, ·); the memory itself for ``dot``."""
        keys: Tensor = self.key(memory)
        return keys

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        *,
        padding: Tensor | None = None,
        keys: Tensor | None = None,
        position: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Attend to ``memory``, except where ``padding`` (N, S), bool, is True. ``keys``: those of the memory, if known.

        ``position`` (N,), integers: t, which ``local_m`` alone reads. Raises ValueError where it is missing there.
        """
        query_part, keys = self.query(query), self.keys(memory) if keys is None else keys
        if self.score is None:
            scores = (keys @ query_part.unsqueeze(2)).squeeze(2)
        else:
            scores = self.score((query_part.unsqueeze(1) + keys).tanh()).squeeze(2)
        if self.window == "global":
            weights = visible_softmax(scores, padding)
        else:
            away = self.distance(query, memory, padding, position)
            outside = away.abs() > self.reach
            weights = visible_softmax(scores, outside if padding is None else outside | padding)
            if self.window == "local_p":
                weights = weights * (-2 * (away / self.reach) ** 2).exp().to(weights.dtype)
        return (weights.unsqueeze(1) @ memory).squeeze(1), weights

    def distance(self, query: Tensor, memory: Tensor, padding: Tensor | None, position: Tensor | None) -> Tensor:
        """s - p (N, S) of a local window, in FP32 at least: FP16 has no halves beyond 1024, nor sharp edges before."""
        dtype = torch.promote_types(query.dtype, torch.float32)
        places = torch.arange(memory.shape[1], device=memory.device)
        length = (torch.ones_like(memory[:, :, 0]) if padding is None else ~padding).sum(1, dtype=torch.int64)
        if self.window == "local_p":
            p = length.to(dtype) * self.centre(query).squeeze(1).to(dtype).sigmoid()
        elif position is None:
            raise ValueError("window 'local_m' takes the target's position")
        else:
            p = position.minimum(length - 1).to(dtype)
        away: Tensor = places.to(dtype) - p.unsqueeze(1)
        return away
