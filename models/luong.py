"""Sequence to sequence with Luong's attention and input feeding (Luong, Pham, Manning, 2015, arXiv:1508.04025).

Stacked LSTMs on both sides; the decoder's first state is the encoder's last. With y the last token's embedding and
h~ the last attentional vector (zeros at first)::

    h_t, state' = LSTM([y; h~], state)                        input feeding, section 3.3
    c, a = attention of h_t over the encoder's top states
    h~' = tanh(W_c [c; h_t]);     logits = W_s h~'            equations 5 and 6

Dropout as in section 4.1, on what goes up between layers. The paper turns the source round; that is left to the data.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .attention.multiplicative import MultiplicativeAttention
from .entry import RegistryEntry
from .recurrent import LSTMStack
from .seq2seq import PADDING, RecurrentEncoderDecoder, tokens


@dataclass(frozen=True)
class LuongOptions:
    """The options of the network; the sizes are the paper's (section 4.1).

    ``score``, ``window`` and ``reach`` are those of :class:`MultiplicativeAttention`.
    """

    source_vocabulary: int = 50000
    target_vocabulary: int = 50000
    embedding: int = 1000
    width: int = 1000
    layers: int = 4
    score: str = "general"
    window: str = "global"
    reach: int = 10
    dropout: float = 0.2


class Luong(RecurrentEncoderDecoder):
    """Source (N, S) and target (N, T) tokens -> logits (N, T, target_vocabulary).

    The memory is ``memory`` (N, S, width), ``keys`` (N, S, width) and ``padding`` (N, S); the state ``hidden`` and
    ``cell`` (N, layers, width), ``feed`` (N, width) for h~, and for ``local_m`` ``position`` (N,), the number of tokens so
    far.
    """

    memory_names = ("memory", "keys", "padding")

    def __init__(self, options: LuongOptions) -> None:
        super().__init__()
        width, layers, embedding, dropout = options.width, options.layers, options.embedding, options.dropout
        self.width, self.layers, self.counts = width, layers, options.window == "local_m"
        self.state_names = ("hidden", "cell", "feed", *(("position",) if self.counts else ()))
        self.bounds = {"token": options.target_vocabulary, "position": 2 * options.reach}
        self.source = nn.Embedding(options.source_vocabulary, embedding)
        self.encoder = LSTMStack(embedding, width, layers, dropout)
        self.target = nn.Embedding(options.target_vocabulary, embedding)
        self.decoder = LSTMStack(embedding + width, width, layers, dropout)
        self.attention = MultiplicativeAttention(
            width, width, score=options.score, window=options.window, reach=options.reach
        )
        self.combine = nn.Linear(2 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, options.target_vocabulary, bias=False)

    def encode(self, source: Tensor) -> tuple[Tensor, ...]:
        """Memory, keys, padding and the first state."""
        padding = source == PADDING
        embedded = self.dropout(self.source(source))
        hidden = embedded.new_zeros(source.shape[0], self.layers, self.width)
        cell = hidden
        outputs: list[Tensor] = []
        for place in range(source.shape[1]):
            output, new_hidden, new_cell = self.encoder(embedded[:, place], hidden, cell)
            stays = padding[:, place, None, None]
            hidden, cell = torch.where(stays, hidden, new_hidden), torch.where(stays, cell, new_cell)
            outputs.append(output)
        memory = torch.stack(outputs, 1)
        feed = torch.zeros_like(hidden[:, 0])
        position = (torch.zeros_like(source[:, 0]),) if self.counts else ()
        return memory, self.attention.keys(memory), padding, hidden, cell, feed, *position

    def advance(self, embedded: Tensor, *encoded: Tensor) -> tuple[Tensor, ...]:
        """h~', attention and the next state."""
        memory, keys, padding, hidden, cell, feed, *position = encoded
        entering = torch.cat((self.dropout(embedded), feed), dim=1)
        query, hidden, cell = self.decoder(entering, hidden, cell)
        context, weights = self.attention(
            query, memory, padding=padding, keys=keys, position=position[0] if position else None
        )
        feed = self.combine(torch.cat((context, query), dim=1)).tanh()
        return feed, weights, hidden, cell, feed, *(p + 1 for p in position)


def seq2seq_luong(**options: Any) -> nn.Module:
    """The network with these fields of :class:`LuongOptions`."""
    return Luong(LuongOptions(**options))


# The registry reads the names and defaults of the options here.
seq2seq_luong.__signature__ = inspect.signature(LuongOptions)  # type: ignore[attr-defined]


# Narrower, a network of tanh alone is measured: ONNX Runtime's FP32 tanh errs three times as much as PyTorch's.
_SMALL = {"source_vocabulary": 40, "target_vocabulary": 32, "embedding": 64, "width": 64, "layers": 2, "reach": 2}


def _entry(name: str, summary: str, score: str, window: str) -> RegistryEntry:
    return RegistryEntry(
        f"seq2seq_luong_{name}",
        partial(seq2seq_luong, score=score, window=window),
        "Luong 2015 (arXiv:1508.04025)",
        f"translation: stacked LSTMs with input feeding, {summary}, teacher forcing",
        (tokens("source", 50, 50000), tokens("target", 50, 50000)),
        ("logits",),
        "sequence",
        _SMALL,
        (tokens("source", 5, 40), tokens("target", 4, 32)),
    )


ENTRIES = (
    _entry("dot", "global attention, dot product", "dot", "global"),
    _entry("general", "global attention, general score", "general", "global"),
    _entry("concat", "global attention, concat score", "concat", "global"),
    _entry("local_m", "monotonic local attention", "general", "local_m"),
    _entry("local_p", "predictive local attention, Gaussian window", "general", "local_p"),
)
