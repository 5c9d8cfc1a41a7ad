"""An encoder and a decoder step as one object for a search: encode rows, advance them, select rows.

The names of their tensors let one loop drive any pair::

    encoder   any inputs                          -> memory and first state, by name
    step      token, memory, state                -> logits, next_X for every state X, and optionally more

``token`` (N,) int64 is the last token of each row, and ``logits`` (N, V) score the next one. An
input ``X`` of the step is state if the step has an output ``next_X``, which replaces it; any other
input except ``token`` is memory, constant while a row is decoded. The encoder returns both under
the step's names. Axis 0 of all of them is the row. ``attention`` is collected if the step returns
it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError, StageError
from ..sessions import Session

TOKEN = "token"
LOGITS = "logits"
ATTENTION = "attention"
NEXT = "next_"


@dataclass(frozen=True)
class Names:
    """The inputs of a step except its token, in order: ``memory`` stays, ``state`` is replaced after every step."""

    memory: tuple[str, ...]
    state: tuple[str, ...]
    attention: bool

    @classmethod
    def of(cls, encoder_outputs: Sequence[str], step_inputs: Sequence[str], step_outputs: Sequence[str]) -> "Names":
        """Read the names of a pair. Raise InputError, naming the tensor, if they do not match."""
        if TOKEN not in step_inputs:
            raise InputError(f"the step takes no {TOKEN!r}: it takes {', '.join(step_inputs)}", f"name it {TOKEN}")
        if LOGITS not in step_outputs:
            raise InputError(f"the step gives no {LOGITS!r}: it gives {', '.join(step_outputs)}", f"name it {LOGITS}")
        carried = [name.removeprefix(NEXT) for name in step_outputs if name.startswith(NEXT)]
        if orphans := [name for name in carried if name not in step_inputs or name == TOKEN]:
            raise InputError(
                f"the step gives {NEXT + orphans[0]!r} and takes no state {orphans[0]!r}",
                f"it takes {', '.join(step_inputs)}",
            )
        others = [name for name in step_inputs if name != TOKEN]
        if missing := [name for name in others if name not in encoder_outputs]:
            raise InputError(
                f"the step takes {missing[0]!r}, which the encoder does not give",
                f"the encoder gives {', '.join(encoder_outputs)}",
            )
        return cls(
            memory=tuple(name for name in others if name not in carried),
            state=tuple(name for name in others if name in carried),
            attention=ATTENTION in step_outputs,
        )


@dataclass(frozen=True)
class Hypothesis:
    """One decoded sequence.

    ``tokens`` are without start and end. ``log_probability`` is that of the tokens and of the end,
    if ``finished`` (an end came before the limit); hypotheses are ranked by ``score``.
    ``attention`` (steps, S) has a row per token, and one for the end, if the step returns attention
    and the search collects it. ``closest`` is the narrowest choice of a beam search for the row,
    between kept and dropped candidates and between its best two, as a difference in log-probability
    per token: if every log-probability errs by less than half of it, the best hypothesis stays the
    same.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    finished: bool
    attention: np.ndarray | None = None
    closest: float = math.inf


@dataclass(frozen=True)
class Rows:
    """Memory and state of the rows of a decode, by name; axis 0 of every array is the row."""

    memory: Mapping[str, np.ndarray]
    state: Mapping[str, np.ndarray]

    def take(self, indices: np.ndarray) -> "Rows":
        """These rows, in this order; a row may be repeated."""
        return Rows({n: a[indices] for n, a in self.memory.items()}, self.take_state(indices).state)

    def take_state(self, indices: np.ndarray) -> "Rows":
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
        sizes = {n: a.shape[0] if a.ndim else 0 for n, a in (*rows.memory.items(), *rows.state.items())}
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
