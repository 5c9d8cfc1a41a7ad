"""The inputs of verification: seeded random inputs at every point of the profile, and the user's samples at every batch size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...runtime.inputs.feeds import batches, profile_points, random_feeds
from ...runtime.inputs.samples import Samples
from ...runtime.spec import POINTS, TensorSpec

SMALL_BATCHES = 16
"""Number of sample batches at the smaller batch sizes; all samples run at the largest."""
ENOUGH = 2048
"""Elements of an output that make its rms error reliable (the errors within one sample are correlated) ..."""
MOST_DRAWS = 8
"""... and the most random inputs per point of the profile drawn to reach it."""
GOLDEN_SAMPLES = 1
"""Sample batches stored in the bundle, beside the random cases."""
GOLDEN_BYTES = 4 << 20
"""Bytes of random inputs stored in the bundle, not counting the first case of every point ..."""
LARGEST_GOLDEN = 32 << 20
"""... and a case with more bytes of inputs is verified but not stored, unless it is the first case."""

FEW_BYTES = 1 << 19
"""Largest inputs used to inspect intermediate tensors."""


@dataclass(frozen=True)
class ParityCase:
    """One run of the model. ``kind``: ``random`` or ``samples``; ``golden``: whether it is stored in the bundle."""

    name: str
    kind: str
    feeds: dict[str, np.ndarray]
    labels: np.ndarray | None
    golden: bool


def draws(outputs: Sequence[TensorSpec]) -> int:
    """Return the number of random inputs per point after which the smallest output has ``ENOUGH`` elements."""
    elements = [sum(math.prod(spec.shape(point)) for point in POINTS) for spec in outputs]
    return min(MOST_DRAWS, math.ceil(ENOUGH / max(1, min(elements, default=ENOUGH))))


def build_cases(specs: Sequence[TensorSpec], samples: Samples | None, seed: int, repeats: int = 1) -> list[ParityCase]:
    """Return the cases for a model with these inputs; ``repeats`` random draws per point (:func:`draws`).

    All samples run in batches of the max of the first input's axis 0; the first of them also run in
    batches of its min and opt. With a fixed axis 0, samples that do not fill a batch are left out.
    Raise InputError if there are too few samples for one batch.
    """
    cases: list[ParityCase] = []
    stored = 0
    for draw in range(repeats):
        for i, (label, sizes) in enumerate(profile_points(specs)):
            feeds = random_feeds(specs, sizes, seed=seed + i + 1000 * draw)
            name = f"random-{label}" if repeats == 1 else f"random-{label}-{draw}"
            size = _bytes(feeds)
            fits = size <= LARGEST_GOLDEN and (draw == 0 or stored + size <= GOLDEN_BYTES)
            golden = fits or not cases  # check needs at least one case
            stored += size if golden else 0
            cases.append(ParityCase(name, "random", feeds, None, golden))
    if samples is None:
        return cases
    axis = specs[0].axes[0]
    batch_sizes = sorted({axis.min, axis.opt, axis.max})
    count = len(cases)
    for size in batch_sizes:
        start = 0
        for i, feeds in enumerate(batches(samples.arrays, size)):
            if size != batch_sizes[-1] and i >= SMALL_BATCHES:
                break
            length = len(feeds[specs[0].name])
            if not axis.min <= length <= axis.max:
                continue
            labels = None if samples.labels is None else samples.labels[start : start + length]
            golden = size == batch_sizes[-1] and i < GOLDEN_SAMPLES and _bytes(feeds) <= LARGEST_GOLDEN
            cases.append(ParityCase(f"samples-{size}-{i}", "samples", feeds, labels, golden))
            start += length
    if len(cases) == count:
        raise InputError(f"{samples.count} samples do not fill one batch of {axis.min}", "pass more samples")
    return cases


def inspection_case(cases: Sequence[ParityCase]) -> ParityCase:
    """Inputs used to inspect intermediate tensors: samples before random inputs, the largest within ``FEW_BYTES``, else the smallest."""
    real = [case for case in cases if case.kind == "samples"] or list(cases)
    small = [case for case in real if _bytes(case.feeds) <= FEW_BYTES]
    return max(small, key=lambda case: _bytes(case.feeds)) if small else min(real, key=lambda case: _bytes(case.feeds))


def _bytes(feeds: dict[str, np.ndarray]) -> int:
    return sum(a.nbytes for a in feeds.values())
