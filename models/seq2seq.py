"""What all encoder-decoder networks share: token numbers, names, and the two parts that a server runs.

Training needs the whole network: ``forward(source, target) -> logits`` with the right tokens fed back. A server needs
two graphs, of one network and the same weights (:func:`parts`)::

    encoder   source (N, S)                        -> what ``encode`` gives, by name
    step      token (N,), what ``encode`` gave     -> logits (N, V), attention (N, S), next_X for every state X

``encode`` gives the memory (constant while a sentence is decoded: states of the encoder, keys, padding) and then the
first state; every one of them has axis 0 as its batch, so that a search can reorder its rows. Padding is token 0 in
``source``; a step's state ``X`` is replaced by its output ``next_X``, and everything else that it takes stays.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .entry import BATCH, Inputs

PADDING, START, END = 0, 1, 2
"""Token numbers: nothing, the beginning of a target and the end of one."""

NEXT = "next_"
"""What comes before a state's name in the step's output that replaces it."""


class EncoderDecoder(nn.Module, ABC):
    """The interface of such a network. ``memory_names`` and ``state_names`` are what ``encode`` gives, in that order.

    ``bounds``: for an integer input of the step, the number that its values stay below. ``longest``: the most tokens of a
    source, and of a target, that the network holds, where there is such a number.
    """

    memory_names: tuple[str, ...]
    state_names: tuple[str, ...]
    bounds: Mapping[str, int]
    longest: int | None = None

    @abstractmethod
    def encode(self, source: Tensor) -> tuple[Tensor, ...]:
        """Source tokens (N, S) -> memory and first state."""

    @abstractmethod
    def step(self, token: Tensor, *encoded: Tensor) -> tuple[Tensor, ...]:
        """The last token (N,), memory and state -> logits (N, V), attention (N, S), and the next state."""

    @abstractmethod
    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Source (N, S) and target (N, T), which begins with START -> logits (N, T, V) of what follows each token."""


class RecurrentEncoderDecoder(EncoderDecoder):
    """A network whose decoder goes token by token in training too.

    Subclasses set ``target`` (the embedding of target tokens) and ``output`` (features to logits).
    """

    target: nn.Embedding
    output: nn.Module

    @abstractmethod
    def advance(self, embedded: Tensor, *encoded: Tensor) -> tuple[Tensor, ...]:
        """The last token's embedding, memory and state -> features (N, ·), attention (N, S), and the next state."""

    def step(self, token: Tensor, *encoded: Tensor) -> tuple[Tensor, ...]:
        """Logits, attention and the next state."""
        features, attention, *state = self.advance(self.target(token), *encoded)
        return (self.output(features), attention, *state)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (N, T, V) with teacher forcing; the vocabulary's product is taken once, over all places."""
        encoded = self.encode(source)
        memory, state = encoded[: len(self.memory_names)], list(encoded[len(self.memory_names) :])
        embedded = self.target(target)
        collected: list[Tensor] = []
        for place in range(target.shape[1]):
            features, _, *state = self.advance(embedded[:, place], *memory, *state)
            collected.append(features)
        logits: Tensor = self.output(torch.stack(collected, 1))
        return logits


@dataclass(frozen=True)
class Part:
    """One graph: its module, which shares the network's weights, what it takes and gives."""

    module: nn.Module
    inputs: Inputs
    outputs: tuple[str, ...]


class _Encoder(nn.Module):
    def __init__(self, network: EncoderDecoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        return self.network.encode(source)


class _Step(nn.Module):
    def __init__(self, network: EncoderDecoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor, *encoded: Tensor) -> tuple[Tensor, ...]:
        return self.network.step(token, *encoded)


def parts(network: EncoderDecoder, source: Mapping[str, Any]) -> tuple[Part, Part]:
    """Encoder and step of ``network``, as graphs to export, each on its own.

    ``source`` is the input of that name as the network's entry lists it: its second axis is a size, or free. The
    step's inputs follow from it: their sizes are measured on the network itself, in its present mode.
    """
    batch, free = (axis if isinstance(axis, int) else dict(axis) for axis in source["axes"])
    lengths = (
        (free, free) if isinstance(free, int) else (free["opt"], free["min" if free["min"] < free["opt"] else "max"])
    )
    names = network.memory_names + network.state_names
    device = next(network.parameters()).device
    with torch.no_grad():
        one, other = (network.encode(torch.zeros(1, n, dtype=torch.int64, device=device)) for n in lengths)
    inputs: list[dict[str, Any]] = [
        {
            "name": "token",
            "dtype": "int64",
            "axes": [batch],
            "low": 0,
            "high": network.bounds["token"],
        }
    ]
    for name, a, b in zip(names, one, other, strict=True):
        rest = [m if m == n else free for m, n in zip(a.shape[1:], b.shape[1:], strict=True)]
        spec: dict[str, Any] = {
            "name": name,
            "dtype": str(a.dtype).removeprefix("torch."),
            "axes": [batch, *rest],
        }
        if name in network.bounds:
            spec |= {"low": 0, "high": network.bounds[name]}
        inputs.append(spec)
    following = tuple(f"{NEXT}{name}" for name in network.state_names)
    return (
        Part(_Encoder(network).train(network.training), (dict(source),), names),
        Part(_Step(network).train(network.training), tuple(inputs), ("logits", "attention", *following)),
    )


def tokens(name: str, length: int | Mapping[str, Any], vocabulary: int) -> dict[str, Any]:
    """The entry's input of that name: token numbers (batch, length), int64. ``length``: a size, or a free axis."""
    axis = length if isinstance(length, int) else dict(length)
    return {"name": name, "dtype": "int64", "axes": [dict(BATCH), axis], "low": 0, "high": vocabulary}
