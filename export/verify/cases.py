"""What parity is proved on: seeded random inputs at every point of the profile, and the user's own samples at every batch size of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...runtime.inputs.feeds import batches, profile_points, random_feeds
from ...runtime.inputs.samples import Samples
from ...runtime.spec import POINTS, TensorSpec

SMALL_BATCHES = 16
"""How many batches of samples run at the smaller sizes; at the largest all samples do."""
ENOUGH = 2048
"""Elements of an output over which an rms error is a figure and not an accident (those of one sample err together) ..."""
MOST_DRAWS = 8
"""... and how many random inputs per point of the profile are drawn for it at the most."""
GOLDEN_SAMPLES = 1
"""Sample batches that travel with the bundle, beside the random cases."""
GOLDEN_BYTES = 4 << 20
"""Inputs that travel with the bundle: random cases are stored while they fit, beyond the first of every point ..."""
LARGEST_GOLDEN = 32 << 20
"""... and a case whose inputs are larger than this is verified and not stored, unless it is the smallest point's."""

FEW_BYTES = 1 << 19
"""Inputs of a case that a network is looked into with."""


@dataclass(frozen=True)
class ParityCase:
    """One run of the model. ``kind``: ``random`` or ``samples``; ``golden``: whether it is stored in the bundle."""

    name: str
    kind: str
    feeds: dict[str, np.ndarray]
    labels: np.ndarray | None
    golden: bool


def draws(outputs: Sequence[TensorSpec]) -> int:
    """How many random inputs per point give the smallest output enough elements for its rms error to mean something."""
    elements = [sum(math.prod(spec.shape(point)) for point in POINTS) for spec in outputs]
    return min(MOST_DRAWS, math.ceil(ENOUGH / max(1, min(elements, default=ENOUGH))))


def build_cases(specs: Sequence[TensorSpec], samples: Samples | None, seed: int, repeats: int = 1) -> list[ParityCase]:
    """The cases for a model of these inputs; ``repeats`` random draws per point (:func:`draws`).

    All samples run in batches of the max of the first input's axis 0, and the first of them in batches of its min and opt, where only
    the batching differs. With a fixed axis 0, what does not fill a batch is left out. Raises InputError where there are too few for one
    batch.
    """
    cases: list[ParityCase] = []
    stored = 0
    for draw in range(repeats):
        for i, (label, sizes) in enumerate(profile_points(specs)):
            feeds = random_feeds(specs, sizes, seed=seed + i + 1000 * draw)
            name = f"random-{label}" if repeats == 1 else f"random-{label}-{draw}"
            size = _bytes(feeds)
            fits = size <= LARGEST_GOLDEN and (draw == 0 or stored + size <= GOLDEN_BYTES)
            golden = fits or not cases  # a bundle without any case could not be checked
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
            got = len(feeds[specs[0].name])
            if not axis.min <= got <= axis.max:
                continue
            labels = None if samples.labels is None else samples.labels[start : start + got]
            golden = size == batch_sizes[-1] and i < GOLDEN_SAMPLES and _bytes(feeds) <= LARGEST_GOLDEN
            cases.append(ParityCase(f"samples-{size}-{i}", "samples", feeds, labels, golden))
            start += got
    if len(cases) == count:
        raise InputError(f"{samples.count} samples do not fill one batch of {axis.min}", "give more samples")
    return cases


def inspection_case(cases: Sequence[ParityCase]) -> ParityCase:
    """What to look into a network with: real samples before random inputs, as many as are not large, else the least."""
    real = [case for case in cases if case.kind == "samples"] or list(cases)
    small = [case for case in real if _bytes(case.feeds) <= FEW_BYTES]
    return max(small, key=lambda case: _bytes(case.feeds)) if small else min(real, key=lambda case: _bytes(case.feeds))


def _bytes(feeds: dict[str, np.ndarray]) -> int:
    return sum(a.nbytes for a in feeds.values())
