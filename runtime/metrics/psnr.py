"""Peak signal-to-noise ratio of image outputs, in decibels.

    PSNR = 20 log10(peak / rms(output - reference)),    peak = max(reference) - min(reference)

The peak is the reference's range, since a model does not state the range of its images. An output
counts as an image if it is float, of rank 4, with 1 or 3 channels and at least 8 x 8 pixels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..spec import TensorSpec

_SMALLEST_SIDE = 8


def is_image(spec: TensorSpec) -> bool:
    """Whether an output counts as images (N, 1 or 3, H, W)."""
    if len(spec.axes) != 4 or spec.numpy_dtype.kind != "f":
        return False
    _, channels, height, width = spec.axes
    return not channels.dynamic and channels.opt in (1, 3) and min(height.opt, width.opt) >= _SMALLEST_SIDE


class Psnr:
    """The metric ``psnr``."""

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
