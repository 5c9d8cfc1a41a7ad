"""The original network as a pair of sessions, at any precision: what decodes are held to, and what PyTorch's error is taken from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...runtime.spec import TensorSpec
from ..reference.original import Precision
from ..reference.torch_model import TorchOriginal
from ..source import ModuleSource


class OriginalSession:
    """One part in PyTorch behind the session protocol.

    Below FP64, floats leave it as FP32, which is what exported models give: a state crosses that border at every step.
    """

    def __init__(self, original: TorchOriginal, part: ModuleSource, precision: Precision) -> None:
        self._original, self._precision = original, precision
        self.input_names: tuple[str, ...] = tuple(spec.name for spec in part.inputs)
        self.output_names: tuple[str, ...] = tuple(part.outputs)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name. Raises StageError where the network cannot be evaluated at that precision."""
        outputs = self._original.run(feeds, self._precision)
        if self._precision == "float64":
            return outputs
        return {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in outputs.items()}

    def close(self) -> None:
        """Nothing to free."""

    def __enter__(self) -> OriginalSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def original_of(part: ModuleSource) -> TorchOriginal:
    """The part as the measure of everything. One serves all precisions, so that the FP64 copy is made once."""
    return TorchOriginal(part.module, [spec.name for spec in part.inputs], part.outputs)


def sources(spec: TensorSpec, padding: int, rows: int, length: int, seed: int) -> np.ndarray:
    """Seeded sources (rows, length): random tokens, other than padding, of random lengths, padded behind."""
    generator = np.random.default_rng(seed)
    low = int(spec.low or 0)
    high = int(spec.high) if spec.high is not None else low + 2
    words = [token for token in range(low, min(high, low + 1_000_000)) if token != padding] or [low]
    drawn = generator.choice(np.array(words), (rows, length))
    counts = generator.integers(1, length + 1, rows)
    counts[0] = length  # one, at least, without padding
    if low <= padding < high:
        drawn[np.arange(length) >= counts[:, None]] = padding
    return np.asarray(drawn.astype(spec.numpy_dtype))
