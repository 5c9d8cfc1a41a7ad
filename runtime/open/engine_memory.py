"""What an engine takes of the GPU's memory, as its build tells: the weights once, the rest for every execution context.

A session has a context for each thread that runs it. The CUDA context itself and the kernels that TensorRT-RTX compiles at the first
run are in no build's figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..bundle.codec import decode, encode_fields
from ..bundle.sections import EngineRecord

MEMORY = "memory"
"""Where an engine's record keeps it, in ``detail``."""


@dataclass(frozen=True)
class ProfileMemory:
    """Bytes of device memory that one execution context takes under one optimization profile, at its largest shapes.

    ``activations`` are intermediate values and scratch, ``persistent`` what the context keeps between runs; ``inputs`` and ``outputs``
    are the session's own buffers (which have page-locked host memory of the same size beside them).
    """

    activations: int
    persistent: int
    inputs: int
    outputs: int

    @property
    def context(self) -> int:
        """All of it: what one more thread costs."""
        return self.activations + self.persistent + self.inputs + self.outputs


@dataclass(frozen=True)
class EngineMemory:
    """Bytes of device memory: ``weights`` of the whole engine, and a context's by profile, in the order of the engine's profiles."""

    weights: int
    profiles: tuple[ProfileMemory, ...]

    def describe(self, size: Callable[[int], str]) -> list[str]:
        """A line for each profile; ``size`` writes bytes for people."""
        return [
            f"{size(self.weights + one.context)} of GPU memory: weights {size(self.weights)}, and {size(one.context)} for each thread"
            f" (activations {size(one.activations)}, inputs {size(one.inputs)}, outputs {size(one.outputs)}"
            f"{f', kept {size(one.persistent)}' if one.persistent else ''})"
            for one in self.profiles
        ]


def keep(memory: EngineMemory | None) -> dict[str, object]:
    """As an engine's record keeps it in its ``detail``; empty where the build did not say."""
    return {} if memory is None else {MEMORY: encode_fields(memory)}


def memory_of(record: EngineRecord) -> EngineMemory | None:
    """What a record says of an engine's memory, None where its build did not say. Raises BundleError where that is damaged."""
    said = record.detail.get(MEMORY)
    return None if said is None else decode(EngineMemory, said, f"engines.{record.file}.detail.{MEMORY}")
