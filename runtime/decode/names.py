"""The names of the tensors of an encoder and a decoder step, so that one loop can drive any pair.

::

    encoder   any inputs                          -> memory and first state, by name
    step      token, memory, state                -> logits, next_X for every state X, and optionally more

``token`` (N,) int64 is the last token of each row, and ``logits`` (N, V) score the next one. An
input ``X`` of the step is state if the step has an output ``next_X``, which replaces it; any other
input except ``token`` is memory, constant while a row is decoded. The encoder returns both under
the step's names. Axis 0 of all of them is the row. ``attention`` is collected if the step returns
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError

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
    def of(cls, encoder_outputs: Sequence[str], step_inputs: Sequence[str], step_outputs: Sequence[str]) -> Names:
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
