"""Task metrics beside the error: outputs compared with the reference, one metric per file, NumPy only.

A metric takes batches, and returns plain figures at the end. Only top-1 is a gate; the other gates
are ratios of errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..spec import TensorSpec
from .iou import MeanIoU
from .psnr import Psnr, is_image
from .tokens import TokenAccuracy
from .top import Top

__all__ = ["TASKS", "MeanIoU", "Metric", "Psnr", "TokenAccuracy", "Top", "is_image", "metrics_for"]

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
