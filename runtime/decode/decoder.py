"""An encoder and a decoder step as one object for a search: encode rows, advance them, select rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import InputError, StageError
from ..sessions import Session
from .names import ATTENTION, LOGITS, NEXT, TOKEN, Names


@dataclass(frozen=True)
class Rows:
    """Memory and state of the rows of a decode, by name; axis 0 of every array is the row."""

    memory: Mapping[str, np.ndarray]
    state: Mapping[str, np.ndarray]

    def take(self, indices: np.ndarray) -> Rows:
        """These rows, in this order; a row may be repeated."""
        return Rows({n: a[indices] for n, a in self.memory.items()}, self.take_state(indices).state)

    def take_state(self, indices: np.ndarray) -> Rows:
        """The states of these rows with the memory unchanged: for rows that change places with others of the same source."""
        return Rows(self.memory, {n: a[indices] for n, a in self.state.items()})


class Decoder:
    """Two sessions with matching names (:class:`Names`). It closes neither of them.

    Raise InputError, naming the tensor, if the names do not match.
    """

    def __init__(self, encoder: Session, step: Session) -> None:
        self.names = Names.of(encoder.output_names, step.input_names, step.output_names)
        self._encoder, self._step = encoder, step

    def encode(self, feeds: Mapping[str, np.ndarray]) -> Rows:
        """Memory and first state of a batch of sources. Raise InputError if arrays differ in their rows."""
        outputs = self._encoder.run(feeds)
        rows = Rows({n: outputs[n] for n in self.names.memory}, {n: outputs[n] for n in self.names.state})
        sizes = {
            name: array.shape[0] if array.ndim else 0 for name, array in (*rows.memory.items(), *rows.state.items())
        }
        if len(set(sizes.values())) > 1:
            raise InputError(f"the encoder's outputs differ in their rows: {sizes}", "axis 0 of each must be the batch")
        return rows

    def advance(self, rows: Rows, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, Rows]:
        """Feed the last token (N,) of each row: log-probabilities (N, V) in FP64, attention if there is any, and the rows.

        Raise StageError if the step's logits are not finite.
        """
        outputs = self._step.run({TOKEN: tokens.astype(np.int64), **rows.memory, **rows.state})
        logits = outputs[LOGITS].astype(np.float64)
        if not np.isfinite(logits).all():
            row = int(np.argwhere(~np.isfinite(logits))[0][0])
            raise StageError("decode", f"the step's logits are not finite in row {row}", "check the bundle's parity")
        state = {name: outputs[f"{NEXT}{name}"] for name in self.names.state}
        attention = outputs[ATTENTION] if self.names.attention else None
        return log_softmax(logits), attention, Rows(rows.memory, state)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def row_count(rows: Rows) -> int:
    """The number of rows."""
    return len(next(iter((*rows.memory.values(), *rows.state.values()))))


def check_limit(limit: int) -> None:
    """Raise InputError for a limit below one token."""
    if limit < 1:
        raise InputError(f"limit {limit} is below 1", "give the most tokens that a row may get")
