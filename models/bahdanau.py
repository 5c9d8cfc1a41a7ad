"""Sequence to sequence with additive attention (Bahdanau, Cho, Bengio, 2015, arXiv:1409.0473), "RNNsearch".

Appendix A: a bidirectional GRU reads the source, h_j = [forward; backward] (N, S, 2 width). The decoder's state begins
as s_0 = tanh(W_s backward_1), and with y the last token's embedding::

    c, alpha = additive attention of s over h
    s' = GRU([y; c], s)
    t~ = U_o s + V_o y + C_o c;     t_k = max(t~_2k-1, t~_2k);     logits = W_o t

The readout takes the state before the step, s, as A.2.2 has it. The weights are drawn as PyTorch's layers draw them,
not as appendix B.1 does, whose zeros in v_a let a network without training attend evenly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention.additive import AdditiveAttention
from .entry import RegistryEntry
from .recurrent import GRUCell, GRULayer
from .seq2seq import PADDING, RecurrentEncoderDecoder, tokens


class Maxout(nn.Module):
    """The larger of each two neighbours: (..., 2 C) -> (..., C)."""

    def forward(self, x: Tensor) -> Tensor:
        """Pairs' maxima."""
        pairs: Tensor = x.unflatten(-1, (-1, 2))
        return pairs.amax(-1)


class Bahdanau(RecurrentEncoderDecoder):
    """Source (N, S) and target (N, T) tokens -> logits (N, T, target_vocabulary).

    ``embedding`` is m, ``width`` n, ``attention`` n', ``readout`` l in the paper; ``reset`` is the GRU's, see
    :class:`GRUCell`. The state is ``hidden`` (N, width); the memory ``memory`` (N, S, 2 width), ``keys``
    (N, S, attention) and ``padding`` (N, S).
    """

    memory_names = ("memory", "keys", "padding")
    state_names = ("hidden",)

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        *,
        embedding: int = 620,
        width: int = 1000,
        attention: int = 1000,
        readout: int = 500,
        reset: str = "before",
    ) -> None:
        super().__init__()
        self.bounds = {"token": target_vocabulary}
        self.source = nn.Embedding(source_vocabulary, embedding)
        self.ahead = GRULayer(embedding, width, reset=reset)
        self.back = GRULayer(embedding, width, backward=True, reset=reset)
        self.start = nn.Linear(width, width)
        self.target = nn.Embedding(target_vocabulary, embedding)
        self.attention = AdditiveAttention(width, 2 * width, attention)
        self.cell = GRUCell(embedding + 2 * width, width, reset)
        self.readout = nn.Linear(width + embedding + 2 * width, 2 * readout)
        self.output = nn.Sequential(Maxout(), nn.Linear(readout, target_vocabulary))

    def encode(self, source: Tensor) -> tuple[Tensor, ...]:
        """Memory, keys, padding and s_0."""
        padding = source == PADDING
        embedded = self.source(source)
        ahead, back = self.ahead(embedded, padding), self.back(embedded, padding)
        memory = torch.cat((ahead, back), dim=2)
        return memory, self.attention.keys(memory), padding, self.start(back[:, 0]).tanh()

    def advance(self, embedded: Tensor, *encoded: Tensor) -> tuple[Tensor, ...]:
        """t~, attention and the next state."""
        memory, keys, padding, hidden = encoded
        context, weights = self.attention(hidden, memory, padding=padding, keys=keys)
        features = self.readout(torch.cat((hidden, embedded, context), dim=1))
        return features, weights, self.cell(torch.cat((embedded, context), dim=1), hidden)


def seq2seq_bahdanau(
    source_vocabulary: int = 30000,
    target_vocabulary: int = 30000,
    embedding: int = 620,
    width: int = 1000,
    attention: int = 1000,
    readout: int = 500,
    reset: str = "before",
) -> nn.Module:
    """The paper's RNNsearch, of its sizes."""
    return Bahdanau(
        source_vocabulary,
        target_vocabulary,
        embedding=embedding,
        width=width,
        attention=attention,
        readout=readout,
        reset=reset,
    )


_SMALL = {
    "source_vocabulary": 40, "target_vocabulary": 32, "embedding": 12, "width": 16, "attention": 12, "readout": 10,
}  # fmt: skip

ENTRIES = (
    RegistryEntry(
        "seq2seq_bahdanau",
        seq2seq_bahdanau,
        "Bahdanau 2015 (arXiv:1409.0473)",
        "translation: bidirectional GRU, GRU decoder with additive attention, teacher forcing",
        (tokens("source", 30, 30000), tokens("target", 30, 30000)),
        ("logits",),
        "sequence",
        _SMALL,
        (tokens("source", 5, 40), tokens("target", 4, 32)),
    ),
)
