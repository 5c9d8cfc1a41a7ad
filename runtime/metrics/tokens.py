"""Token accuracy: the share of places of a sequence at which the export chooses the original's token.

Logits (..., tokens) choose by their greatest along the last axis; an integer output is the tokens.
A sequence is correct if all its places are. Both models get the same tokens before each place
(teacher forcing).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ParityError


class TokenAccuracy:
    """The metric ``tokens``: of (N, tokens), (N, T, tokens), or integers (N, T)."""

    name = "tokens"

    def __init__(self) -> None:
        self._places = self._equal = self._sequences = self._whole = 0

    def add(self, got: np.ndarray, reference: np.ndarray, torch_output: np.ndarray, labels: np.ndarray | None) -> None:
        """See :class:`~.Metric`. Raise ParityError for shapes that differ or are empty."""
        if got.shape != reference.shape or reference.ndim < 2 or not reference.size:
            raise ParityError(
                f"token accuracy needs two sets of (N, ..., tokens), not {reference.shape} and {got.shape}"
            )
        equal = (_chosen(got) == _chosen(reference)).reshape(len(reference), -1)
        self._places += equal.size
        self._equal += int(equal.sum())
        self._sequences += len(equal)
        self._whole += int(equal.all(1).sum())

    def figures(self) -> dict[str, Any]:
        """``accuracy`` over all places, the share of correct ``sequences``, and the number of ``places``."""
        assert self._places
        return {
            "accuracy": self._equal / self._places,
            "sequences": self._whole / self._sequences,
            "places": self._places,
        }


def _chosen(output: np.ndarray) -> np.ndarray:
    return output if output.dtype.kind in "iub" else np.asarray(output.argmax(-1))
