"""Intersection over union of segmentation masks: the export's and the original's.

A pixel's class is that of its greatest logit; with one channel, whether its logit is above 0. For
each class in either mask, over all pixels of all inputs,

    IoU = |export and original| / |export or original|

and the mean is over those classes. Source: Everingham 2015, the PASCAL VOC challenge.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ParityError


class MeanIoU:
    """The metric ``iou`` of logits (N, classes, H, W), with any number of axes after the classes."""

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
