"""The Transformer (Vaswani et al., 2017: "Attention Is All You Need", arXiv:1706.03762): encoder and decoder.

Section 3: tokens are embedded, times sqrt(channels), and get sinusoidal places. An encoder layer is self-attention and a
feed-forward network (two linear layers with a ReLU between); a decoder layer has attention over the encoder's output
between them and sees no later token. Every sub-layer is LayerNorm(x + Dropout(sublayer(x))); with ``norm_first``, as
later code has it, x + Dropout(sublayer(LayerNorm(x))) and a LayerNorm at the end of either stack. One matrix embeds the
source and the target and gives the logits (section 3.4).

The decoder step keeps keys and values of the tokens so far. Their caches have a fixed length with a position, and do
not grow by one at every step: a growing cache begins with an axis of size 0, which no optimization profile can
hold, and moves to other addresses at every step, which no CUDA graph can follow. A fixed cache costs a step that
reads the caches whole; ONNX Runtime and TensorRT build it alike, with a free batch. What the layers need of the memory,
its keys and values, does not change while a sentence is decoded: the encoder's graph computes it once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention.additive import visible_softmax
from .attention.multi_head import MultiHeadAttention
from .attention.positional_encoding import SinusoidalEncoding
from .entry import RegistryEntry
from .seq2seq import PADDING, EncoderDecoder, tokens


class Residual(nn.Module):
    """A sub-layer's place: what is added to x, and where the normalisation stands."""

    def __init__(self, channels: int, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def before(self, x: Tensor) -> Tensor:
        """What the sub-layer takes."""
        if not self.norm_first:
            return x
        normal: Tensor = self.norm(x)
        return normal

    def after(self, x: Tensor, branch: Tensor) -> Tensor:
        """What follows, given what the sub-layer gave."""
        joined: Tensor = x + self.dropout(branch)
        if not self.norm_first:
            joined = self.norm(joined)
        return joined


class FeedForward(nn.Sequential):
    """(..., channels) -> (..., channels): max(0, x W_1 + b_1) W_2 + b_2, equation 2."""

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__(nn.Linear(channels, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, channels))


class EncoderLayer(nn.Module):
    """(N, S, channels), padding (N, S) -> (N, S, channels)."""

    def __init__(self, channels: int, heads: int, hidden: int, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(channels, heads)
        self.feed_forward = FeedForward(channels, hidden, dropout)
        self.first = Residual(channels, dropout, norm_first)
        self.second = Residual(channels, dropout, norm_first)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """``x`` after both sub-layers."""
        x = self.first.after(x, self.attention(self.first.before(x), padding=padding))
        return self.second.after(x, self.feed_forward(self.second.before(x)))


class DecoderLayer(nn.Module):
    """(N, T, channels), memory (N, S, channels), padding (N, S) -> (N, T, channels); also a token at a time."""

    def __init__(self, channels: int, heads: int, hidden: int, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(channels, heads, causal=True)
        self.cross = MultiHeadAttention(channels, heads)
        self.feed_forward = FeedForward(channels, hidden, dropout)
        self.first = Residual(channels, dropout, norm_first)
        self.second = Residual(channels, dropout, norm_first)
        self.third = Residual(channels, dropout, norm_first)

    def forward(self, x: Tensor, memory: Tensor, padding: Tensor) -> Tensor:
        """``x`` after the three sub-layers."""
        x = self.first.after(x, self.attention(self.first.before(x)))
        x = self.second.after(x, self.cross(self.second.before(x), memory, padding=padding))
        return self.third.after(x, self.feed_forward(self.third.before(x)))

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """What attention over the memory takes of it: (N, heads, S, d) twice."""
        return self.cross.split(self.cross.key(memory)), self.cross.split(self.cross.value(memory))

    def step(
        self, x: Tensor, cache: tuple[Tensor, Tensor], memory: tuple[Tensor, Tensor], position: Tensor, padding: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """One token x (N, 1, channels) at ``position`` (N,): what follows, the cache with it, its attention (N, S).

        ``cache`` and ``memory`` are keys and values, (N, heads, T, d) and (N, heads, S, d); the attention is the mean
        over heads.
        """
        places = torch.arange(cache[0].shape[2], device=x.device)
        here = (places == position[:, None])[:, None, :, None]
        later = (places > position[:, None])[:, None, None, :]
        entering = self.first.before(x)
        key = torch.where(here, self.attention.split(self.attention.key(entering)), cache[0])
        value = torch.where(here, self.attention.split(self.attention.value(entering)), cache[1])
        x = self.first.after(x, _attend(self.attention, entering, key, value, later)[0])
        attended, weights = _attend(self.cross, self.second.before(x), *memory, padding[:, None, None, :])
        x = self.second.after(x, attended)
        return self.third.after(x, self.feed_forward(self.third.before(x))), (key, value), weights.mean(1).squeeze(1)


def _attend(
    attention: MultiHeadAttention, x: Tensor, key: Tensor, value: Tensor, hidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Attention of x (N, 1, channels) over keys and values of heads: its output, and its weights (N, heads, 1, K)."""
    query = attention.split(attention.query(x)) * key.shape[3] ** -0.5
    weights = visible_softmax(query @ key.transpose(2, 3), hidden)
    return attention.out((weights @ value).transpose(1, 2).flatten(2)), weights


class Transformer(EncoderDecoder):
    """Source (N, S) and target (N, T) tokens -> logits (N, T, vocabulary); S and T are at most ``length``.

    ``channels`` is d_model, ``hidden`` d_ff and ``layers`` N in the paper. The memory of the step is ``memory_keys`` and
    ``memory_values`` (N, layers, heads, S, d) and ``padding`` (N, S); its state ``keys`` and ``values``
    (N, layers, heads, length, d), and ``position`` (N,), the number of tokens so far. Attention is that of the last
    layer over the memory, the mean of its heads. Raises ValueError where ``heads`` does not divide ``channels``.
    """

    memory_names = ("memory_keys", "memory_values", "padding")
    state_names = ("keys", "values", "position")

    def __init__(
        self,
        vocabulary: int,
        *,
        channels: int = 512,
        heads: int = 8,
        hidden: int = 2048,
        layers: int = 6,
        length: int = 256,
        dropout: float = 0.1,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        self.bounds = {"token": vocabulary, "position": length}
        self.longest = length
        self.heads, self.length, self.scale = heads, length, channels**0.5
        self.embedding = nn.Embedding(vocabulary, channels)
        nn.init.normal_(self.embedding.weight, std=channels**-0.5)  # of unit variance once scaled, and for the logits
        self.places = SinusoidalEncoding(channels, length)
        self.dropout = nn.Dropout(dropout)
        shape = (channels, heads, hidden, dropout, norm_first)
        self.encoder = nn.ModuleList(EncoderLayer(*shape) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(*shape) for _ in range(layers))
        self.encoder_norm = nn.LayerNorm(channels) if norm_first else nn.Identity()
        self.decoder_norm = nn.LayerNorm(channels) if norm_first else nn.Identity()

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits of what follows each target token, all at once."""
        padding = source == PADDING
        memory = self._memory(source, padding)
        x = self.dropout(self.places(self.embedding(target) * self.scale))
        for layer in self.decoder:
            x = layer(x, memory, padding)
        return self._logits(x)

    def encode(self, source: Tensor) -> tuple[Tensor, ...]:
        """Keys and values of the memory, padding, empty caches and position 0."""
        padding = source == PADDING
        memory = self._memory(source, padding)
        pairs = [layer.keys_values(memory) for layer in self._decoder_layers()]
        keys, values = torch.stack([k for k, _ in pairs], 1), torch.stack([v for _, v in pairs], 1)
        width = keys.shape[4]
        empty = keys.new_zeros(source.shape[0], len(pairs), self.heads, self.length, width)
        return keys, values, padding, empty, empty, torch.zeros_like(source[:, 0])

    def step(self, token: Tensor, *encoded: Tensor) -> tuple[Tensor, ...]:
        """Logits, attention, and the state with this token in it."""
        memory_keys, memory_values, padding, keys, values, position = encoded
        x = self.embedding(token) * self.scale + self.places.table[position]
        x = self.dropout(x.unsqueeze(1))
        caches: list[tuple[Tensor, Tensor]] = []
        for i, layer in enumerate(self._decoder_layers()):
            x, cache, attention = layer.step(
                x, (keys[:, i], values[:, i]), (memory_keys[:, i], memory_values[:, i]), position, padding
            )
            caches.append(cache)
        keys, values = torch.stack([k for k, _ in caches], 1), torch.stack([v for _, v in caches], 1)
        return self._logits(x.squeeze(1)), attention, keys, values, position + 1

    def _decoder_layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.decoder if isinstance(layer, DecoderLayer)]

    def _memory(self, source: Tensor, padding: Tensor) -> Tensor:
        x = self.dropout(self.places(self.embedding(source) * self.scale))
        for layer in self.encoder:
            x = layer(x, padding)
        memory: Tensor = self.encoder_norm(x)
        return memory

    def _logits(self, x: Tensor) -> Tensor:
        return F.linear(self.decoder_norm(x), self.embedding.weight)


def transformer_base(
    vocabulary: int = 37000,
    channels: int = 512,
    heads: int = 8,
    hidden: int = 2048,
    layers: int = 6,
    length: int = 256,
    dropout: float = 0.1,
    norm_first: bool = False,
) -> nn.Module:
    """The paper's base model (table 3) for its English-German vocabulary of about 37,000 tokens."""
    return Transformer(
        vocabulary,
        channels=channels,
        heads=heads,
        hidden=hidden,
        layers=layers,
        length=length,
        dropout=dropout,
        norm_first=norm_first,
    )


def _axis(name: str, opt: int, largest: int) -> dict[str, object]:
    return {"symbol": f"{name}_length", "min": 1, "opt": opt, "max": largest}


ENTRIES = (
    RegistryEntry(
        "transformer_base",
        transformer_base,
        "Vaswani 2017 (arXiv:1706.03762)",
        "translation: Transformer encoder and decoder, base size, teacher forcing",
        (tokens("source", _axis("source", 32, 128), 37000), tokens("target", _axis("target", 32, 128), 37000)),
        ("logits",),
        "sequence",
        {"vocabulary": 40, "channels": 16, "heads": 2, "hidden": 24, "layers": 2, "length": 12},
        (tokens("source", _axis("source", 6, 12), 40), tokens("target", _axis("target", 5, 12), 40)),
    ),
)
