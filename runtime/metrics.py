"""Task metrics beside the error: outputs compared with the reference, NumPy only.

A metric takes batches, and returns plain figures at the end. Only top-1 is a gate; the other gates
are ratios of errors.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import ParityError
from .bundle.codec import encode_fields
from .spec import TensorSpec

TASKS = ("classification", "segmentation", "sequence")
"""A model's first output: logits (N, classes); logits (N, classes, H, W); ``logits`` (N, ..., tokens), or tokens."""


class Metric(Protocol):
    """One metric of an output."""

    name: str

    def add(self, got: np.ndarray, reference: np.ndarray, torch_output: np.ndarray, labels: np.ndarray | None) -> None:
        """Add one batch: the variant's output, the original's in FP64, PyTorch's at the variant's precision, and labels (N,)."""

    def figures(self) -> dict[str, Any]:
        """The figures over all batches."""


def metrics_for(task: str | None, spec: TensorSpec, *, first: bool, is_map: bool = False) -> list[Metric]:
    """The metrics of one output. ``first``: classes are in the first output; ``is_map``: an attention map is not an image."""
    rank = len(spec.axes)
    if task == "classification" and first:
        return [Top(1), *([Top(5)] if rank == 2 and spec.axes[1].opt > 5 else [])]
    if task == "segmentation" and first:
        return [MeanIoU()]
    if task == "sequence" and rank > 1 and (spec.name == "logits" or spec.numpy_dtype.kind in "iu"):
        return [TokenAccuracy()]
    return [Psnr()] if is_image(spec) and not is_map else []


def combined(metrics: Sequence[Metric]) -> dict[str, Any]:
    """The figures of several metrics by name."""
    return {metric.name: metric.figures() for metric in metrics}


@dataclass(frozen=True)
class TopK:
    """How many of ``count`` samples keep their ``k`` best classes, with ties counted apart.

    ``disagreements`` counts each set of the k greatest logits that differs from the reference's, and
    ``within_margin`` those of them that are ties at that precision: the reference's k-th and (k+1)-th
    logits are closer than 4 times the largest error that PyTorch itself makes there. The export's own
    error cannot be the margin: a class can only change if the margin is below twice that error.
    ``least_margin`` is the smallest of these differences; infinite without a (k+1)-th logit.
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


class MeanIoU:
    """The metric ``iou`` of logits (N, classes, H, W), with any number of axes after the classes.

    A pixel's class is that of its greatest logit; with one channel, whether its logit is above 0.
    For each class in either mask, over all pixels of all inputs,

        IoU = |export and original| / |export or original|

    and the mean is over those classes. Source: Everingham 2015, the PASCAL VOC challenge.
    """

    name = "iou"

    def __init__(self) -> None:
        self._pairs: np.ndarray | None = None

    def add(self, got: np.ndarray, reference: np.ndarray, torch_output: np.ndarray, labels: np.ndarray | None) -> None:
        """See :class:`~.Metric`. Raise ParityError for shapes that differ or have no classes."""
        if reference.ndim < 3 or got.shape != reference.shape or reference.shape[1] == 0:
            raise ParityError(f"IoU needs two sets of logits (N, classes, ...), not {reference.shape} and {got.shape}")
        classes = max(2, reference.shape[1])
        pairs = np.bincount(_mask(reference) * classes + _mask(got), minlength=classes**2).reshape(classes, classes)
        self._pairs = pairs if self._pairs is None else self._pairs + pairs

    def figures(self) -> dict[str, Any]:
        """``mean``, the ``least`` of a class and which one, the number of ``classes``, and the share of pixels that ``agree``."""
        assert self._pairs is not None
        both = np.diag(self._pairs)
        either = self._pairs.sum(0) + self._pairs.sum(1) - both
        occurring = np.flatnonzero(either)
        values = both[occurring] / either[occurring]
        return {
            "mean": float(values.mean()),
            "least": float(values.min()),
            "least_class": int(occurring[values.argmin()]),
            "classes": len(occurring),
            "agree": float(both.sum() / self._pairs.sum()),
        }


def _mask(logits: np.ndarray) -> np.ndarray:
    chosen = logits.argmax(1) if logits.shape[1] > 1 else logits[:, 0] > 0
    return np.asarray(chosen, dtype=np.int64).ravel()


def is_image(spec: TensorSpec) -> bool:
    """Whether an output counts as images: float, (N, 1 or 3, H, W), of at least 8 x 8 pixels."""
    if len(spec.axes) != 4 or spec.numpy_dtype.kind != "f":
        return False
    _, channels, height, width = spec.axes
    return not channels.dynamic and channels.opt in (1, 3) and min(height.opt, width.opt) >= 8


class Psnr:
    """The metric ``psnr``: the peak signal-to-noise ratio of image outputs, in decibels.

        PSNR = 20 log10(peak / rms(output - reference)),    peak = max(reference) - min(reference)

    The peak is the reference's range, since a model does not state the range of its images.
    """

    name = "psnr"

    def __init__(self) -> None:
        self._squares, self._count = 0.0, 0
        self._low, self._high = math.inf, -math.inf

    def add(self, got: np.ndarray, reference: np.ndarray, torch_output: np.ndarray, labels: np.ndarray | None) -> None:
        """See :class:`~.Metric`."""
        difference = got.astype(np.float64) - reference
        self._squares += float((difference**2).sum())
        self._count += difference.size
        self._low = min(self._low, float(reference.min(initial=math.inf)))
        self._high = max(self._high, float(reference.max(initial=-math.inf)))

    def figures(self) -> dict[str, Any]:
        """``decibels`` (infinite without a difference) and the ``peak``."""
        peak = max(0.0, self._high - self._low)
        rms = math.sqrt(self._squares / self._count) if self._count else 0.0
        ratio = math.inf if rms == 0.0 else peak / rms
        decibels = 20 * math.log10(ratio) if ratio > 0.0 else -math.inf
        return {"decibels": decibels, "peak": peak}


class TokenAccuracy:
    """The metric ``tokens``: the share of places of a sequence at which the export chooses the original's token.

    Logits (N, ..., tokens) choose by their greatest along the last axis; an integer output (N, T) is
    the tokens. A sequence is correct if all its places are. Both models get the same tokens before
    each place (teacher forcing).
    """

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
