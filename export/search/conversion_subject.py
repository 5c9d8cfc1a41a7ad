"""The model under export, as a search and a calibration need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...runtime.inputs.samples import Samples
from ...runtime.spec import TensorSpec
from ..reference.original import Original


@dataclass(frozen=True)
class ConversionSubject:
    """The original model with its input specs and the user's samples, if any.

    ``logits`` names a classifier's output, whose largest element is the answer. ``seed`` draws random inputs and the
    order of samples.
    """

    original: Original
    inputs: Sequence[TensorSpec]
    samples: Samples | None = None
    logits: str | None = None
    seed: int = 0
