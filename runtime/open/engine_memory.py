"""The GPU memory of an engine, as its build reports it: the weights once, the rest for every execution context.

A session has a context for each thread that runs it. The figures do not include the CUDA context
itself and the kernels that TensorRT-RTX compiles at the first run.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..bundle.codec import decode, encode_fields
from ..bundle.sections import EngineRecord

MEMORY = "memory"
"""The key in ``detail`` of an engine's record."""


@dataclass(frozen=True)
class ProfileMemory:
    """Bytes of device memory of one execution context under one optimization profile, at its largest shapes.

    ``activations`` are intermediate values and scratch, ``persistent`` is kept between runs;
    ``inputs`` and ``outputs`` are the session's buffers (each with page-locked host memory of the
    same size).
    """

    activations: int
    persistent: int
    inputs: int
    outputs: int

    @property
    def context(self) -> int:
        """The sum: the cost of one more thread."""
        return self.activations + self.persistent + self.inputs + self.outputs


@dataclass(frozen=True)
class EngineMemory:
    """Bytes of device memory: ``weights`` of the engine, and of a context by profile, in the order of the engine's profiles."""

    weights: int
    profiles: tuple[ProfileMemory, ...]

    def describe(self, size: Callable[[int], str]) -> list[str]:
        """A line for each profile; ``size`` formats bytes."""
        return [
            f"{size(self.weights + profile.context)} of GPU memory: weights {size(self.weights)}, "
            f"and {size(profile.context)} for each thread"
            f" (activations {size(profile.activations)}, inputs {size(profile.inputs)}, outputs {size(profile.outputs)}"
            f"{f', kept {size(profile.persistent)}' if profile.persistent else ''})"
            for profile in self.profiles
        ]


def keep(memory: EngineMemory | None) -> dict[str, object]:
    """The entry of ``detail`` in an engine's record; empty if the build reports nothing."""
    return {} if memory is None else {MEMORY: encode_fields(memory)}


def memory_of(record: EngineRecord) -> EngineMemory | None:
    """The memory in an engine's record, None if the build reported none. Raise BundleError if it is damaged."""
    memory = record.detail.get(MEMORY)
    return None if memory is None else decode(EngineMemory, memory, f"engines.{record.file}.detail.{MEMORY}")
