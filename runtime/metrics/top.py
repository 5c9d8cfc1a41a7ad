"""Top-1 and top-5: whether the best classes stay the best, with ties counted apart.

    disagreement    the set of the k greatest logits differs from the reference's
    within margin   ... and the reference's k-th and (k+1)-th logits are closer than 4 times the largest error that PyTorch
                    itself makes there: a tie at that precision

The export's own error cannot be the margin: a class can only change if the margin is below twice
that error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ParityError
from ..bundle.codec import encode_fields


@dataclass(frozen=True)
class TopK:
    """How many of ``count`` samples keep their ``k`` best classes. ``disagreements`` counts every change; ``within_margin`` are ties.

    ``least_margin``: the smallest difference of the reference's k-th and (k+1)-th logits; infinite
    without a (k+1)-th.
    """

    k: int
    count: int
    disagreements: int
    within_margin: int
    least_margin: float

    @property
    def agreement(self) -> float:
        """The fraction of samples that agree, 1.0 for all."""
        return 1.0 - self.disagreements / self.count

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary, the agreement included."""
        return {**encode_fields(self), "agreement": self.agreement}


def top_k(reference: np.ndarray, got: np.ndarray, k: int, *, torch_max_error: float = 0.0) -> TopK:
    """Compare the k best classes of two sets of logits (N, classes); of equal logits the first counts as greater.

    ``torch_max_error``: the largest difference of PyTorch's logits, at the precision of ``got``, from
    the reference, for the margin. Raise ParityError for shapes that differ, are not (N, classes),
    or are empty.
    """
    if reference.ndim != 2 or reference.shape != got.shape or 0 in reference.shape:
        raise ParityError(f"top-{k} needs two sets of logits (N, classes), not {reference.shape} and {got.shape}")
    true = reference.astype(np.float64)
    count, classes = true.shape
    if classes <= k:
        return TopK(k, count, 0, 0, np.inf)
    differs = (best(true, k) != best(got, k)).any(1)
    ordered = -np.sort(-true, axis=1)
    margins = ordered[:, k - 1] - ordered[:, k]
    within = differs & (margins < 4.0 * torch_max_error)
    return TopK(k, count, int(differs.sum()), int(within.sum()), float(margins.min()))


def best(logits: np.ndarray, k: int) -> np.ndarray:
    """The classes (N, k) of the greatest logits, sorted by class."""
    wide = logits.astype(np.float64)
    return np.asarray(np.sort(np.argsort(-wide, axis=1, kind="stable")[:, :k], axis=1))


class Top:
    """The metric ``top1`` or ``top5`` of logits (N, classes), with the accuracy if there are labels."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.name = f"top{k}"
        self._runs: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []
        self._torch_max_error = 0.0

    def add(self, got: np.ndarray, reference: np.ndarray, torch_output: np.ndarray, labels: np.ndarray | None) -> None:
        """See :class:`~.Metric`."""
        self._runs.append((reference, got, labels))
        self._torch_max_error = max(
            self._torch_max_error, float(np.abs(torch_output.astype(np.float64) - reference).max(initial=0.0))
        )

    def result(self) -> TopK:
        """The result over all batches. Raise ParityError if the outputs are not logits."""
        reference, got = (np.concatenate([run[i] for run in self._runs]) for i in (0, 1))
        return top_k(reference, got, self.k, torch_max_error=self._torch_max_error)

    def changed(self) -> int:
        """Samples whose best classes change without a tie."""
        result = self.result()
        return result.disagreements - result.within_margin

    def figures(self) -> dict[str, Any]:
        """Counts, agreement and margin; ``accuracy`` and ``original_accuracy`` if every batch has labels."""
        figures = self.result().to_json()
        labels = [run[2] for run in self._runs]
        batches = [part for part in labels if part is not None]
        if len(batches) == len(labels):
            reference, got = (np.concatenate([run[i] for run in self._runs]) for i in (0, 1))
            expected = np.concatenate(batches)[:, None]
            figures["accuracy"] = float((best(got, self.k) == expected).any(1).mean())
            figures["original_accuracy"] = float((best(reference, self.k) == expected).any(1).mean())
        return figures
