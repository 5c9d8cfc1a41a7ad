"""The original network as sessions of any precision: the reference of decodes, and PyTorch's error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...runtime.spec import TensorSpec
from ..reference.original import Precision
from ..reference.torch_model import TorchOriginal
from ..source import ModuleSource


class OriginalSession:
    """One part in PyTorch as a session.

    Below FP64, outputs are FP32, as those of exported models: a state is converted at every step.
    """

    def __init__(self, original: TorchOriginal, part: ModuleSource, precision: Precision) -> None:
        self._original, self._precision = original, precision
        self.input_names: tuple[str, ...] = tuple(spec.name for spec in part.inputs)
        self.output_names: tuple[str, ...] = tuple(part.outputs)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name. Raises StageError if the network cannot be evaluated at this precision."""
        outputs = self._original.run(feeds, self._precision)
        if self._precision == "float64":
            return outputs
        return {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in outputs.items()}

    def close(self) -> None:
        """Do nothing."""

    def __enter__(self) -> OriginalSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def original_of(part: ModuleSource) -> TorchOriginal:
    """Return the reference model of a part. It serves all precisions, so the FP64 copy is made once."""
    return TorchOriginal(part.module, [spec.name for spec in part.inputs], part.outputs)


def sources(spec: TensorSpec, padding: int, rows: int, length: int, seed: int) -> np.ndarray:
    """Return seeded sources (rows, length): random tokens of random lengths, padded at the end."""
    generator = np.random.default_rng(seed)
    low = int(spec.low or 0)
    high = int(spec.high) if spec.high is not None else low + 2
    vocabulary = [token for token in range(low, min(high, low + 1_000_000)) if token != padding] or [low]
    tokens = generator.choice(np.array(vocabulary), (rows, length))
    counts = generator.integers(1, length + 1, rows)
    counts[0] = length  # at least one row without padding
    if low <= padding < high:
        tokens[np.arange(length) >= counts[:, None]] = padding
    return np.asarray(tokens.astype(spec.numpy_dtype))
