"""Token accuracy: at how many places of a sequence the export chooses the token that the original chooses.

Logits (..., tokens) choose by their greatest along the last axis; an integer output is the tokens themselves. A sequence
is right where all its places are. Both are taken with the same tokens before each place (teacher forcing).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ParityError


class TokenAccuracy:
    """The metric ``tokens``: of (N, tokens), (N, T, tokens), or whole numbers (N, T)."""

    name = "tokens"

    def __init__(self) -> None:
        self._places = self._equal = self._sequences = self._whole = 0

    def add(self, got: np.ndarray, truth: np.ndarray, own: np.ndarray, labels: np.ndarray | None) -> None:
        """See :class:`~.Metric`. Raises ParityError for shapes that are unlike or empty."""
        if got.shape != truth.shape or truth.ndim < 2 or not truth.size:
            raise ParityError(f"token accuracy needs two sets of (N, ..., tokens), not {truth.shape} and {got.shape}")
        equal = (_chosen(got) == _chosen(truth)).reshape(len(truth), -1)
        self._places += equal.size
        self._equal += int(equal.sum())
        self._sequences += len(equal)
        self._whole += int(equal.all(1).sum())

    def figures(self) -> dict[str, Any]:
        """``accuracy`` over all places, ``sequences`` right as a whole, and over how many ``places``."""
        assert self._places
        return {
            "accuracy": self._equal / self._places,
            "sequences": self._whole / self._sequences,
            "places": self._places,
        }


def _chosen(output: np.ndarray) -> np.ndarray:
    return output if output.dtype.kind in "iub" else np.asarray(output.argmax(-1))
